{{/* What both programs' pods have in common: what is mounted into them, their environment, their probes. */}}

{{- define "cc.webFile" -}}/run/secrets/web/{{ .webConfig.key }}{{- end }}

{{/* Everything is mounted for reading. `.program` is the program's section of the values. */}}
{{- define "cc.mounts" -}}
{{- if .program.webConfig.secret }}
- {name: web-config, mountPath: /run/secrets/web, readOnly: true}
{{- end }}
{{- range .program.mounts }}
- {name: {{ printf "mount-%s" .name }}, mountPath: {{ .path | quote }}, readOnly: true}
{{- end }}
{{- end }}

{{/* The Secrets with the tokens of the roles, each as the file ROLE/NAME; empty without any. */}}
{{- define "cc.roleTokens" -}}
{{- range $role, $held := .Values.remediator.roles }}
{{- range $held.tokenSecrets }}
- secret: {name: {{ .name }}, items: [{key: {{ .key | default "token" }}, path: {{ $role }}/{{ .name }}}]}
{{- end }}
{{- end }}
{{- end }}

{{- define "cc.volumes" -}}
{{- with .program.webConfig.secret }}
- name: web-config
  secret: {secretName: {{ . }}}
{{- end }}
{{- range .program.mounts }}
- name: mount-{{ .name }}
  {{- include "cc.volumeSource" . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Exactly one of secret, configMap, claim and hostPath; the schema sees to that. */}}
{{- define "cc.volumeSource" -}}
{{- if .secret }}secret: {secretName: {{ .secret }}}
{{- else if .configMap }}configMap: {name: {{ .configMap }}}
{{- else if .claim }}persistentVolumeClaim: {claimName: {{ .claim }}, readOnly: true}
{{- else }}hostPath: {path: {{ .hostPath | quote }}, type: Directory}
{{- end }}
{{- end }}

{{- define "cc.env" -}}
{{- range .program.extraEnv }}
- name: {{ .name }}
  {{- if .secret }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
  {{- else }}
  value: {{ .value | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* With client certificates the kubelet has none to show, and can only see whether the port is open. */}}
{{- define "cc.probes" -}}
{{- $handler := printf "httpGet: {path: %%s, port: %s, scheme: %s}" .port (upper .program.webConfig.scheme) -}}
{{- if eq .program.webConfig.probes "tcp" }}{{ $handler = printf "tcpSocket: {port: %s}" .port }}{{ end -}}
livenessProbe:
  {{ replace "%s" "/-/healthy" $handler }}
  periodSeconds: 20
  timeoutSeconds: 3
readinessProbe:
  {{ replace "%s" "/-/ready" $handler }}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}
