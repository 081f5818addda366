{{/* What each program finds in its container: environment, files and volumes. The pods of `helm test` have the same. */}}

{{- define "cc.exporterEnv" -}}
{{- $database := .Values.exporter.database }}
{{- $redis := .Values.exporter.redis }}
{{- if $database.urlSecret.name }}
- name: CONTROLCORE_EXPORTER_DATABASE__URL
  valueFrom: {secretKeyRef: {name: {{ $database.urlSecret.name }}, key: {{ $database.urlSecret.key }}}}
{{- end }}
{{- if $redis.urlSecret.name }}
- name: CONTROLCORE_EXPORTER_REDIS__URL
  valueFrom: {secretKeyRef: {name: {{ $redis.urlSecret.name }}, key: {{ $redis.urlSecret.key }}}}
{{- end }}
{{- include "cc.env" (dict "program" .Values.exporter) }}
{{- end }}

{{- define "cc.exporterMounts" -}}
- {name: config, mountPath: /etc/controlcore-exporter, readOnly: true}
{{- if .Values.exporter.database.passwordSecret.name }}
- {name: database-password, mountPath: /run/secrets/database, readOnly: true}
{{- end }}
{{- if .Values.exporter.redis.passwordSecret.name }}
- {name: redis-password, mountPath: /run/secrets/redis, readOnly: true}
{{- end }}
{{- if or .Values.exporter.backups.claim .Values.exporter.backups.hostPath }}
- {name: backups, mountPath: {{ .Values.exporter.backups.mountPath | quote }}, readOnly: true}
{{- end }}
{{- include "cc.mounts" (dict "program" .Values.exporter) }}
{{- end }}

{{- define "cc.exporterVolumes" -}}
- name: config
  configMap: {name: {{ include "cc.exporter" . }}}
{{- range $what, $secret := dict "database" .Values.exporter.database.passwordSecret "redis" .Values.exporter.redis.passwordSecret }}
{{- if $secret.name }}
- name: {{ $what }}-password
  secret:
    secretName: {{ $secret.name }}
    items: [{key: {{ $secret.key }}, path: password}]
{{- end }}
{{- end }}
{{- if or .Values.exporter.backups.claim .Values.exporter.backups.hostPath }}
- name: backups
  {{- include "cc.volumeSource" .Values.exporter.backups | nindent 2 }}
{{- end }}
{{- include "cc.volumes" (dict "program" .Values.exporter) }}
{{- end }}

{{/* The journal is mounted where it is: one pod alone may have its volume. */}}
{{- define "cc.remediatorMounts" -}}
- {name: config, mountPath: /etc/controlcore-remediator, readOnly: true}
- {name: webhook-token, mountPath: /run/secrets/webhook, readOnly: true}
{{- if include "cc.roleTokens" . }}
- {name: role-tokens, mountPath: /run/secrets/roles, readOnly: true}
{{- end }}
- {name: journal, mountPath: /var/lib/controlcore-remediator}
- {name: temporary, mountPath: /tmp}
{{- include "cc.mounts" (dict "program" .Values.remediator) }}
{{- end }}

{{/* `.journal` is the source of the journal's volume: one pod alone may have the real one. */}}
{{- define "cc.remediatorVolumes" -}}
- name: config
  configMap: {name: {{ include "cc.remediator" .root }}}
- name: webhook-token
  secret:
    secretName: {{ required "remediator.tokenSecret.name: name a Secret with the bearer token that Alertmanager presents, or set remediator.enabled to false" .root.Values.remediator.tokenSecret.name }}
    items: [{key: {{ .root.Values.remediator.tokenSecret.key }}, path: token}]
{{- with include "cc.roleTokens" .root }}
- name: role-tokens
  projected:
    sources: {{- . | nindent 6 }}
{{- end }}
- name: journal
  {{ .journal }}
- name: temporary
  emptyDir: {sizeLimit: 64Mi}
{{- include "cc.volumes" (dict "program" .root.Values.remediator) }}
{{- end }}
