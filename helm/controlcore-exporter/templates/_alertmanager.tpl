{{/* How Alertmanager reaches the remediator. */}}

{{- define "cc.webhookUrl" -}}
{{ .Values.remediator.webConfig.scheme }}://{{ include "cc.remediator" . }}.{{ .Release.Namespace }}:9878/api/v1/alerts
{{- end }}

{{/* Names of all alerts that this chart ships and of the remediator's announcements, as a regular expression. */}}
{{- define "cc.ownAlerts" -}}
(ControlCore|Remediation).+|HighCPUUsage|DatabaseConnectionFailure|PolicyEvaluationSlow
{{- end }}

{{/* Receiver and times of each route to the remediator, as an AlertmanagerConfig names them. */}}
{{- define "cc.remediatorRoute" -}}
receiver: controlcore-remediator
groupBy: [alertname]
groupWait: 5s
groupInterval: 1m
repeatInterval: 5m
{{- end }}
