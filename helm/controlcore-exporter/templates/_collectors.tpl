{{/*
Collectors that stay off with these values, as JSON: by the value that switches them on. What only an environment
variable of `extraEnv` says counts as said.
*/}}
{{- define "cc.collectorsOff" -}}
{{- $config := include "cc.exporterConfig" . | fromYaml -}}
{{- $variables := list }}{{ range .Values.exporter.extraEnv }}{{ $variables = append $variables .name }}{{ end -}}
{{- $preset := dict "stores" list "bouncerPorts" list -}}
{{- if .Values.exporter.preset }}{{ $preset = include "cc.preset" . | fromJson }}{{ end -}}
{{- $stores := dict -}}
{{- range $store := list "database" "redis" -}}
{{-   $name := printf "%s_URL" (upper $store) -}}
{{-   $known := or (dig $store "url" "" $config) (get (get $.Values.exporter $store) "urlSecret").name (has $store $preset.stores) (has $name $variables) (has (printf "CONTROLCORE_EXPORTER_%s__URL" (upper $store)) $variables) -}}
{{-   $_ := set $stores $store (not (not $known)) -}}
{{- end -}}
{{- $bouncers := get $config "bouncers" | default list -}}
{{- $engines := list }}{{ range $bouncers }}{{ with get . "opa_url" }}{{ $engines = append $engines . }}{{ end }}{{ end -}}
{{- $hasBouncers := or $bouncers (get $config "bouncer_discovery") $preset.bouncerPorts -}}
{{- $collectors := get $config "collectors" | default dict -}}
{{- $backup := get $collectors "backup" | default dict -}}
{{- $hasCluster := not (not (get $config "kubernetes")) -}}
{{- $hasBackup := or (get $backup "places") (get $backup "snapshot_file") (get $backup "restore_test_file") (and $hasCluster (ne (get $backup "cron_job" | default "postgres-backup") "")) -}}
{{- $opal := get $collectors "opal" | default dict -}}
{{- $tls := or (dig "tls" "endpoints" list $collectors) (hasPrefix "https://" $config.api.url) (contains "\"https://" ($bouncers | toJson)) (contains "\"https\"" (get $config "bouncer_discovery" | toJson)) -}}
{{- $off := dict -}}
{{- if not $stores.database }}{{ $_ := set $off "exporter.database.url" (list "audit" "bouncers" "decision_latency" "decisions" "logins" "pip" "policies" "policy_sync" "postgres" "postgres_canary" "postgres_maintenance" "postgres_server" "repository" "users") }}{{ end -}}
{{- if not $stores.redis }}{{ $_ := set $off "exporter.redis.url" (list "redis" "redis_keys") }}{{ end -}}
{{- if not (or $stores.database $stores.redis) }}{{ $_ := set $off "exporter.database.url or exporter.redis.url" (list "tuning") }}{{ end -}}
{{- if not $hasBouncers }}{{ $_ := set $off "exporter.bouncers or exporter.bouncerDiscovery" (list "bouncer_caches" "policy") }}{{ end -}}
{{- if not $engines }}{{ $_ := set $off "exporter.bouncers[].opa_url" (list "opa" "policy_parity") }}{{ end -}}
{{- if and $engines (not $stores.database) }}{{ $_ := set $off "exporter.database.url" (append (get $off "exporter.database.url") "policy_parity") }}{{ end -}}
{{- if not (or (get $opal "server_url") (get $opal "clients")) }}{{ $_ := set $off "exporter.collectors.opal.server_url" (list "opal") }}{{ end -}}
{{- if not $hasCluster }}{{ $_ := set $off "exporter.kubernetes" (list "bluegreen" "workloads") }}{{ end -}}
{{- if not (or $hasCluster $stores.database) }}{{ $_ := set $off "exporter.kubernetes or exporter.database.url" (list "compliance") }}{{ end -}}
{{- if not $hasBackup }}{{ $_ := set $off "exporter.backups.claim" (list "backup") }}{{ end -}}
{{- if not $tls }}{{ $_ := set $off "exporter.collectors.tls.endpoints" (list "tls") }}{{ end -}}
{{- if not (and (dig "telemetry" "token_file" "" $collectors) $stores.database) }}{{ $_ := set $off "exporter.collectors.telemetry.token_file" (list "telemetry") }}{{ end -}}
{{- range $name, $settings := $collectors -}}
{{-   if eq (toString (get $settings "enabled")) "false" -}}
{{-     range $setting, $names := $off }}{{ $_ := set $off $setting (without $names $name) }}{{ end -}}
{{-     $_ := set $off (printf "exporter.collectors.%s.enabled" $name) (list $name) -}}
{{-   end -}}
{{- end -}}
{{- range $setting, $names := $off }}{{ if not $names }}{{ $_ := unset $off $setting }}{{ end }}{{ end -}}
{{- $off | toJson }}
{{- end }}
