{{/* The rule files, with the changes of `rules` laid over each alert. Recording rules stay as they are. */}}

{{/* Paths of the rule files that are wanted, as JSON under `list`. */}}
{{- define "cc.rulePaths" -}}
{{- $root := . -}}
{{- $paths := list -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yml" -}}
{{-   if or $root.Values.rules.guide (ne (base $path) "guide.yml") }}{{ $paths = append $paths $path }}{{ end -}}
{{- end -}}
{{- dict "list" $paths | toJson -}}
{{- end }}

{{/* A rule file as YAML with its key `groups`. A group without a rule is left out. */}}
{{- define "cc.ruleFile" -}}
{{- $root := .root -}}
{{- $thresholds := $root.Files.Get "files/thresholds.yaml" | fromYaml -}}
{{- $groups := list -}}
{{- range $group := (.root.Files.Get .path | fromYaml).groups -}}
{{-   $rules := list -}}
{{-   range $rule := $group.rules -}}
{{-     $change := get $root.Values.rules.alerts (get $rule "alert" | default "") | default dict -}}
{{-     if not (hasKey $rule "alert") -}}
{{-       $rules = append $rules $rule -}}
{{-     else if ne (toString (get $change "enabled")) "false" -}}
{{-       with get $change "for" }}{{ $_ := set $rule "for" . }}{{ end -}}
{{-       with get $change "keepFiringFor" }}{{ $_ := set $rule "keep_firing_for" . }}{{ end -}}
{{-       if hasKey $change "threshold" }}{{ $_ := set $rule "expr" (include "cc.withThreshold" (dict "rule" $rule "text" (get $thresholds $rule.alert) "threshold" $change.threshold)) }}{{ end -}}
{{-       $labels := merge (deepCopy (get $change "labels" | default dict)) $root.Values.rules.additionalRuleLabels (get $rule "labels" | default dict) -}}
{{-       with get $change "severity" }}{{ $_ := set $labels "severity" . }}{{ end -}}
{{-       $_ := set $rule "labels" $labels -}}
{{-       $annotations := get $rule "annotations" | default dict -}}
{{-       if and $root.Values.rules.runbookBase (hasKey $annotations "runbook_url") -}}
{{-         $_ := set $annotations "runbook_url" (include "cc.joined" (list $root.Values.rules.runbookBase (regexReplaceAll "^.*(docs/runbooks/)" $annotations.runbook_url "${1}"))) -}}
{{-       end -}}
{{-       if and $root.Values.rules.grafanaBase (hasKey $annotations "dashboard_url") -}}
{{-         $_ := set $annotations "dashboard_url" (include "cc.joined" (list $root.Values.rules.grafanaBase (regexReplaceAll "^.*/d/" $annotations.dashboard_url "d/"))) -}}
{{-       end -}}
{{-       $_ := set $rule "annotations" (merge (deepCopy (get $change "annotations" | default dict)) $root.Values.rules.additionalRuleAnnotations $annotations) -}}
{{-       $rules = append $rules $rule -}}
{{-     end -}}
{{-   end -}}
{{-   if $rules -}}
{{-     $_ := set $group "rules" $rules -}}
{{-     with $root.Values.rules.partialResponseStrategy }}{{ $_ := set $group "partial_response_strategy" . }}{{ end -}}
{{-     $groups = append $groups $group -}}
{{-   end -}}
{{- end -}}
{{- if $groups }}{{ dict "groups" $groups | toYaml }}{{ end -}}
{{- end }}

{{/* The expression with another number behind the operator of `text`. */}}
{{- define "cc.withThreshold" -}}
{{- if not .text }}{{ fail (printf "rules.alerts.%s.threshold: this alert has no threshold; files/thresholds.yaml names those that have one" .rule.alert) }}{{ end -}}
{{- $operator := splitList " " .text | first -}}
{{- regexReplaceAll (printf "%s($|[^0-9.])" (regexQuoteMeta .text)) .rule.expr (printf "%s %v${1}" $operator .threshold) -}}
{{- end }}

{{/* Two parts of an address with exactly one slash between them. */}}
{{- define "cc.joined" -}}
{{ trimSuffix "/" (first .) }}/{{ trimPrefix "/" (last .) }}
{{- end }}

{{/* A name below `rules.alerts` that no rule file has would change nothing, silently. */}}
{{- define "cc.checkAlerts" -}}
{{- $known := list -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yml" -}}
{{-   range ($.Files.Get $path | fromYaml).groups }}{{ range .rules }}{{ $known = append $known (get . "alert") }}{{ end }}{{ end -}}
{{- end -}}
{{- range $name, $_ := .Values.rules.alerts -}}
{{-   if not (has $name $known) }}{{ fail (printf "rules.alerts.%s: no alert of this chart has this name" $name) }}{{ end -}}
{{- end -}}
{{- end }}
