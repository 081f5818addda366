{{/*
What the policies need, as JSON by namespace: names to get and to patch, whether pods are listed, evicted, Jobs created,
the Deployments whose pods may be evicted, and the most and the fewest replicas that something may be given.
*/}}
{{- define "cc.rights" -}}
{{- $root := . -}}
{{- $namespaces := dict }}
{{- range $policy := (include "cc.policies" . | fromYaml).policies }}
{{-   $autoscalers := get (get $root.Values.remediator.policies $policy.name | default dict) "autoscalers" | default list }}
{{-   $scaledObjects := get (get $root.Values.remediator.policies $policy.name | default dict) "scaledObjects" | default list }}
{{-   $least := get (get $root.Values.remediator.policies $policy.name | default dict) "leastReplicas" | default 0 }}
{{-   $writes := ne (get $policy "mode" | default "dry_run") "observe" }}
{{- /* What is created cannot be named in advance: it comes where something acts only. */}}
{{-   $creates := has (get $policy "mode" | default "dry_run") (list "approve" "auto") }}
{{-   $acts := list (dict "action" $policy.action "targets" $policy.targets "cap" (dig "parameters" "max_replicas_cap" 0 $policy) "revert" (dig "parameters" "revert_if" "" $policy)) }}
{{-   range $rung := get $policy "ladder" | default list }}
{{-     $acts = append $acts (dict "action" $rung.action "targets" (get $rung "targets" | default $policy.targets) "cap" (dig "parameters" "max_replicas_cap" 0 $rung) "revert" (dig "parameters" "revert_if" "" $rung)) }}
{{-   end }}
{{-   range $act := $acts }}
{{-     range $target := $act.targets }}
{{-       $rights := get $namespaces $target.namespace | default (dict "get" list "patch" list "hpa" list "hpaPatch" list "keda" list "kedaPatch" list "scale" list "scalePatch" list "cron" list "evicts" false "evictable" list "backs" false "pods" false "tells" false "caps" dict "floors" dict) }}
{{-       if has $act.action (list "restart_workload" "scale_workload" "evict_pod") }}
{{-         $_ := set $rights "get" (append $rights.get $target.name | uniq) }}
{{-         $_ := set $rights "pods" true }}
{{-       end }}
{{-       if eq $act.action "restart_workload" }}
{{-         if $writes }}{{ $_ := set $rights "patch" (append $rights.patch $target.name | uniq) }}{{ end }}
{{-       else if eq $act.action "scale_workload" }}
{{-         $names := $autoscalers | default (list $target.name (printf "%s-hpa" $target.name)) }}
{{-         $_ := set $rights "hpa" (concat $rights.hpa $names | uniq) }}
{{-         if $writes }}{{ $_ := set $rights "hpaPatch" (concat $rights.hpaPatch $names | uniq) }}{{ end }}
{{-         $owners := concat $names ($scaledObjects | default (list $target.name)) (list $target.name) | uniq }}
{{-         range $name := $owners }}{{ $_ := set $rights.caps $name (max (get $rights.caps $name | default 0 | int) (int $act.cap)) }}{{ end }}
{{-         if and $act.revert $least }}{{ $_ := set $rights.floors $target.name (int $least) }}{{ end }}
{{-         $names := $scaledObjects | default (list $target.name) }}
{{-         $_ := set $rights "keda" (concat $rights.keda $names | uniq) }}
{{-         if $writes }}{{ $_ := set $rights "kedaPatch" (concat $rights.kedaPatch $names | uniq) }}{{ end }}
{{-         $_ := set $rights "scale" (append $rights.scale $target.name | uniq) }}
{{-         if $writes }}{{ $_ := set $rights "scalePatch" (append $rights.scalePatch $target.name | uniq) }}{{ end }}
{{-       else if eq $act.action "evict_pod" }}
{{-         if $creates }}{{ $_ := set $rights "evicts" true }}{{ $_ := set $rights "evictable" (append $rights.evictable $target.name | uniq) }}{{ end }}
{{-       else if eq $act.action "run_backup_job" }}
{{-         $_ := set $rights "cron" (append $rights.cron $target.name | uniq) }}
{{-         if $creates }}{{ $_ := set $rights "backs" true }}{{ end }}
{{-       else if not (has $act.action (list "trigger_policy_update" "clear_bouncer_cache" "terminate_idle_sessions")) }}
{{-         fail (printf "remediator.policies.%s: this chart knows no rights for action %s" $policy.name $act.action) }}
{{-       end }}
{{-       $calls := has $act.action (list "trigger_policy_update" "clear_bouncer_cache" "terminate_idle_sessions") }}
{{-       if and $writes (not $calls) }}{{ $_ := set $rights "tells" true }}{{ end }}
{{-       if or $rights.pods $rights.cron }}{{ $_ := set $namespaces $target.namespace $rights }}{{ end }}
{{-     end }}
{{-   end }}
{{- end }}
{{- $namespaces | toJson }}
{{- end }}
