{{/* The two programs' configuration files. */}}

{{- define "cc.exporterConfig" -}}
{{- $namespace := include "cc.namespace" . -}}
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
{{- $_ := set $config "api" (dict "url" (include "cc.apiUrl" .)) -}}
{{- with .Values.exporter.preset }}{{ $_ := set $config "preset" . }}{{ end -}}
{{- if .Values.exporter.webConfig.secret }}{{ $_ := set $config.server "web_config_file" (include "cc.webFile" .Values.exporter) }}{{ end -}}
{{- $_ := set $config "log" (dict "level" .Values.exporter.logLevel "form" "json") -}}
{{- if $database }}{{ $_ := set $config "database" $database }}{{ end -}}
{{- if $redis }}{{ $_ := set $config "redis" $redis }}{{ end -}}
{{- if .Values.exporter.bouncers }}{{ $_ := set $config "bouncers" .Values.exporter.bouncers }}{{ end -}}
{{- if .Values.exporter.collectors }}{{ $_ := set $config "collectors" .Values.exporter.collectors }}{{ end -}}
{{- if .Values.exporter.kubernetes -}}
{{-   $workloads := (include "cc.workloads" . | fromJson).list -}}
{{-   $_ := set $config "kubernetes" (dict "namespace" $namespace "workloads" $workloads) -}}
{{- end -}}
{{- with .Values.exporter.bouncerDiscovery -}}
{{-   if .enabled }}{{ $_ := set $config "bouncer_discovery" (dict "kubernetes" (dict "kind" .kind "selector" .selector "port" .port "scheme" .scheme)) }}{{ end -}}
{{- end -}}
{{- if and (or .Values.exporter.backups.claim .Values.exporter.backups.hostPath) (not (dig "backup" "places" list .Values.exporter.collectors)) -}}
{{-   $backup := dict "places" (list (dict "kind" "full" "directory" .Values.exporter.backups.mountPath)) -}}
{{-   $collectors := deepCopy (get $config "collectors" | default dict) -}}
{{-   $_ := set $collectors "backup" (merge (get $collectors "backup" | default dict) $backup) -}}
{{-   $_ := set $config "collectors" $collectors -}}
{{- end -}}
{{- include "cc.change" (dict "into" $config "from" (deepCopy .Values.exporter.settings)) -}}
{{- toYaml $config }}
{{- end }}

{{- define "cc.remediatorConfig" -}}
{{- $config := dict
      "server" (dict "port" 9878 "token_file" "/run/secrets/webhook/token")
      "journal" (dict "path" "/var/lib/controlcore-remediator/journal.db")
      "policies_file" "/etc/controlcore-remediator/policies.yaml"
      "prometheus" (dict "url" .Values.remediator.prometheusUrl)
      "alertmanager" (dict "url" .Values.remediator.alertmanagerUrl "announce_command" (printf "kubectl -n %s exec deploy/%s -- controlcore-remediator" .Release.Namespace (include "cc.remediator" .)))
      "kubernetes" dict
      "log" (dict "level" .Values.remediator.logLevel "form" "json") -}}
{{- if .Values.remediator.webConfig.secret }}{{ $_ := set $config.server "web_config_file" (include "cc.webFile" .Values.remediator) }}{{ end -}}
{{- if .Values.remediator.roles -}}
{{-   $roles := dict -}}
{{-   range $role, $held := .Values.remediator.roles -}}
{{-     $files := list -}}
{{-     range $held.tokenSecrets }}{{ $files = append $files (printf "/run/secrets/roles/%s/%s" $role .name) }}{{ end -}}
{{-     $_ := set $roles $role (dict "token_files" $files "users" ($held.users | default list) "certificates" ($held.certificates | default list)) -}}
{{-   end -}}
{{-   $_ := set $config.server "roles" $roles -}}
{{- end -}}
{{- include "cc.change" (dict "into" $config "from" (deepCopy .Values.remediator.settings)) -}}
{{- toYaml $config }}
{{- end }}

{{/* A sidecar knows its own pod only: the API beside it. Everything that is true once is the Deployment's. */}}
{{- define "cc.sidecarConfig" -}}
{{- $preset := include "cc.preset" . | fromJson -}}
{{- $config := dict
      "server" (dict "port" (int .Values.sidecar.port))
      "scope" "pod"
      "guide_names" .Values.sidecar.guideNames
      "api" (dict "url" (.Values.sidecar.apiUrl | default (printf "http://127.0.0.1:%v" $preset.localPort)))
      "log" (dict "level" .Values.exporter.logLevel "form" "json") -}}
{{- include "cc.change" (dict "into" $config "from" (deepCopy .Values.sidecar.settings)) -}}
{{- toYaml $config }}
{{- end }}
