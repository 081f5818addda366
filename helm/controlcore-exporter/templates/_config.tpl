{{/* The two programs' configuration files. */}}

{{- define "cc.exporterConfig" -}}
{{- $namespace := include "cc.namespace" . -}}
{{- $api := .Values.controlcore.apiUrl | default (printf "http://%s.%s:8000" .Values.controlcore.deployment $namespace) -}}
{{- $database := dict -}}
{{- with .Values.exporter.database -}}
{{-   if .url }}{{ $_ := set $database "url" .url }}{{ end -}}
{{-   if .role }}{{ $_ := set $database "role" .role }}{{ end -}}
{{-   if .passwordSecret.name }}{{ $_ := set $database "password_file" "/run/secrets/database/password" }}{{ end -}}
{{- end -}}
{{- $redis := dict -}}
{{- with .Values.exporter.redis -}}
{{-   if .url }}{{ $_ := set $redis "url" .url }}{{ end -}}
{{-   if .passwordSecret.name }}{{ $_ := set $redis "password_file" "/run/secrets/redis/password" }}{{ end -}}
{{- end -}}
{{- $config := dict "server" (dict "port" 9877) "scope" "deployment" "guide_names" .Values.exporter.guideNames -}}
{{- $_ := set $config "api" (dict "url" $api) -}}
{{- $_ := set $config "log" (dict "level" .Values.exporter.logLevel "form" "json") -}}
{{- if $database }}{{ $_ := set $config "database" $database }}{{ end -}}
{{- if $redis }}{{ $_ := set $config "redis" $redis }}{{ end -}}
{{- if .Values.exporter.bouncers }}{{ $_ := set $config "bouncers" .Values.exporter.bouncers }}{{ end -}}
{{- if .Values.exporter.collectors }}{{ $_ := set $config "collectors" .Values.exporter.collectors }}{{ end -}}
{{- if .Values.exporter.kubernetes -}}
{{-   $workloads := (include "cc.workloads" . | fromJson).list -}}
{{-   $_ := set $config "kubernetes" (dict "namespace" $namespace "workloads" $workloads) -}}
{{- end -}}
{{- toYaml $config }}
{{- end }}

{{- define "cc.remediatorConfig" -}}
{{- $config := dict
      "server" (dict "port" 9878 "token_file" "/run/secrets/webhook/token")
      "journal" (dict "path" "/var/lib/controlcore-remediator/journal.db")
      "policies_file" "/etc/controlcore-remediator/policies.yaml"
      "prometheus" (dict "url" .Values.remediator.prometheusUrl)
      "kubernetes" dict
      "log" (dict "level" .Values.remediator.logLevel "form" "json") -}}
{{- toYaml $config }}
{{- end }}
