{{/*
What the programs would refuse at their start is refused here: with Recreate the old pod would be gone by then.
*/}}
{{- define "cc.checkPolicies" -}}
{{- $document := include "cc.policies" . | fromYaml -}}
{{- $unnamed := list -}}
{{- $faults := list -}}
{{- range $policy := $document.policies -}}
{{-   if not (or (get $policy "action") (get $policy "ladder")) -}}
{{-     $faults = append $faults (printf "remediator.policies.%s: no shipped policy has this name, and a policy of your own needs `action`" $policy.name) -}}
{{-   end -}}
{{-   if has (get $policy "mode" | default "dry_run") (list "approve" "auto") -}}
{{-     $unnamed = append $unnamed $policy.name -}}
{{-     $places := list (dict "path" "parameters" "parameters" (get $policy "parameters" | default dict)) -}}
{{-     range $number, $rung := get $policy "ladder" | default list -}}
{{-       $places = append $places (dict "path" (printf "ladder[%d].parameters" $number) "parameters" (get $rung "parameters" | default dict)) -}}
{{-     end -}}
{{-     range $number, $witness := get $policy "witnesses" | default list -}}
{{-       $places = append $places (dict "path" (printf "witnesses[%d]" $number) "parameters" (pick $witness "url")) -}}
{{-     end -}}
{{-     range $place := $places -}}
{{-       range $url := prepend (get $place.parameters "urls" | default list) (get $place.parameters "url" | default "") -}}
{{-         if hasSuffix ".invalid" (regexReplaceAll ":[0-9]+$" (urlParse (toString $url)).host "") -}}
{{-           $name := contains "bouncer" $url | ternary "controlcore.bouncerUrls" "controlcore.opalClientUrl" -}}
{{-           $faults = append $faults (printf "remediator.policies.%s.%s: %s is a placeholder; set %s" $policy.name $place.path $url $name) -}}
{{-         end -}}
{{-       end -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- if and $unnamed (not (get $document "identity")) -}}
{{-   $faults = prepend $faults (printf "remediator.identity: mode approve or auto requires matchers of labels that only alerts of this installation carry, e.g. ['cluster=\"production\"']; policies: %s" (join ", " $unnamed)) -}}
{{- end -}}
{{- if $faults }}{{ fail (printf "\n%s" (join "\n" $faults)) }}{{ end -}}
{{- end }}
