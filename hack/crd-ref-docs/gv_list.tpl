{{- /* The page docs/reference/api.md. Types are in the order in which a reader meets them: the resource, then each type below the
       first field that has it. "known" has the types by name, "seen" those that are written. */ -}}
{{- define "gvList" -}}
# API reference

<!-- Written by "make docs" from the comments in api/v1alpha1. -->

Every field of the resource, type by type, as they follow from the first. [Fields of the spec](../fields/README.md) says what a field
does to what runs, and has examples. A field that is not called required may be left out.
{{ range . -}}
{{- $known := dict -}}
{{- range .SortedTypes }}{{ $_ := set $known .Name . }}{{ end -}}
{{- $seen := dict -}}
{{- $gv := . -}}
{{- range .SortedKinds }}{{ template "follow" dict "type" ($gv.TypeForKind .) "known" $known "seen" $seen }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "follow" -}}
{{- $in := . -}}
{{- if not (hasKey $in.seen $in.type.Name) -}}
{{- $_ := set $in.seen $in.type.Name true -}}
{{- template "type" $in.type -}}
{{- range $in.type.Members -}}
{{- range list .Type .Type.UnderlyingType .Type.ValueType -}}
{{- if . -}}{{- if hasKey $in.known .Name -}}
{{- template "follow" dict "type" (get $in.known .Name) "known" $in.known "seen" $in.seen -}}
{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
