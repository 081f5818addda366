{{/* What both programs' pods have in common: what is mounted into them, their environment, their probes. */}}

{{- define "cc.webFile" -}}/run/secrets/web/{{ .webConfig.key }}{{- end }}

{{/* Everything but an emptyDir is mounted for reading. `.program` is the program's section of the values. */}}
{{- define "cc.mounts" -}}
{{- if .program.webConfig.secret }}
- {name: web-config, mountPath: /run/secrets/web, readOnly: true}
{{- end }}
{{- range .program.mounts }}
- {name: {{ printf "mount-%s" .name }}, mountPath: {{ .path | quote }}, readOnly: {{ not .emptyDir }}}
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

{{/* Exactly one of secret, configMap, claim, emptyDir and hostPath; the schema sees to that. */}}
{{- define "cc.volumeSource" -}}
{{- if .secret }}secret: {secretName: {{ .secret }}}
{{- else if .configMap }}configMap: {name: {{ .configMap }}}
{{- else if .claim }}persistentVolumeClaim: {claimName: {{ .claim }}, readOnly: true}
{{- else if .emptyDir }}emptyDir: {sizeLimit: {{ .emptyDir }}}
{{- else }}hostPath: {path: {{ .hostPath | quote }}, type: Directory}
{{- end }}
{{- end }}

{{/* Fields of the pod's spec that are as the values have them; one that is empty is left out. */}}
{{- define "cc.podFields" -}}
{{- range $field := list "priorityClassName" "topologySpreadConstraints" "nodeSelector" "tolerations" "affinity" "hostAliases" "dnsPolicy" "dnsConfig" "terminationGracePeriodSeconds" "initContainers" }}
{{- $value := get $.program $field }}
{{- if or $value (eq (toString $value) "0") }}
{{ dict $field $value | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{/* The names of Secrets for the registry, of this chart and of an umbrella chart; given as names or as objects. */}}
{{- define "cc.pullSecrets" -}}
{{- $names := list -}}
{{- range concat (.Values.image.pullSecrets | default list) ((.Values.global | default dict).imagePullSecrets | default list) }}
{{- $names = append $names (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- with $names }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The programs' ServiceAccounts: made here, or there already. Two, because only one of them may change anything. */}}
{{- define "cc.exporterAccount" -}}{{ .Values.exporter.serviceAccount.name | default (include "cc.exporter" .) }}{{- end }}
{{- define "cc.remediatorAccount" -}}{{ .Values.remediator.serviceAccount.name | default (include "cc.remediator" .) }}{{- end }}

{{- define "cc.serviceAccount" -}}
{{- if .program.serviceAccount.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .account }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "cc.labels" . | nindent 4 }}
  {{- with .program.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
{{ end -}}
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
{{- with .program.startupProbe }}
startupProbe: {{- merge (dict) . (replace "%s" "/-/healthy" $handler | fromYaml) | toYaml | nindent 2 }}
{{- end }}
{{- end }}
