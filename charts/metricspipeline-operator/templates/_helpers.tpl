{{- define "metricspipeline.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Helm writes crds/ when it installs, and never again: without this an upgraded operator would work with the schema of an earlier
release, and the API server would drop its new fields. Where Helm does not see the cluster (helm template, Argo CD) there is nothing to
compare.
*/}}
{{- define "metricspipeline.checkSchema" -}}
{{- $name := "metricspipelines.metricspipeline.io" -}}
{{- $annotation := "metricspipeline.io/schema-digest" -}}
{{- $want := index (.Files.Get (printf "crds/%s.yaml" $name) | fromYaml).metadata.annotations $annotation -}}
{{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name -}}
{{- $has := index (.metadata.annotations | default dict) $annotation | default "none" -}}
{{- if ne $has $want -}}
{{- fail (printf "the CustomResourceDefinition %s of the cluster is not that of chart %s (%s: %s, not %s), and Helm does not upgrade it: run `helm show crds CHART --version %s | kubectl apply --server-side --force-conflicts -f -`, then this command again" $name $.Chart.Version $annotation $has $want $.Chart.Version) -}}
{{- end -}}
{{- end -}}
{{- end -}}
