// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

// certificatesSiblings covers who issues the serving certificates.
func certificatesSiblings() []sibling {
	const (
		certificates = "spec.certificates"
		issuer       = certificates + ".issuerRef"
		duration     = certificates + ".duration"
		renewBefore  = certificates + ".renewBefore"
		noIssuer     = "issuerRef names an issuer of cert-manager, which the provider BuiltIn does not use: leave issuerRef unset, " +
			"or set provider to CertManager"
		less = "renewBefore must be less than duration, or a certificate would be due for renewal when it is issued: lower " +
			"renewBefore, leave it unset, or raise duration"
	)
	given := map[string]any{issuer: map[string]any{"name": "company"}}
	cases := []sibling{
		{bound: "enum", set: certificates + ".provider", ok: "BuiltIn", bad: "Vault"},
		{bound: noIssuer, set: certificates + ".provider", ok: "CertManager", bad: "BuiltIn", field: certificates, with: given},
		{bound: "duration must be at least 1h", set: duration, ok: "1h", bad: "59m"},
		{bound: "duration must be at most 26280h, three years: longer than that it could outlive the authority that signs it",
			set: duration, ok: "26280h", bad: "26281h"},
		{bound: "renewBefore must be at least 5m", set: renewBefore, ok: "5m", bad: "4m"},
		{bound: less, set: renewBefore, ok: "23h", bad: "24h", field: certificates, with: map[string]any{duration: "24h"}},
	}
	for field, longest := range map[string]int{issuer + ".group": 253, issuer + ".kind": 63} {
		cases = append(cases,
			sibling{bound: "minLength", set: field, ok: "a", bad: "", with: given},
			sibling{bound: "maxLength", set: field, ok: text(longest), bad: text(longest + 1), with: given})
	}
	cases = append(cases, nameSiblings(issuer+".name", 253, given)...)
	cases = append(cases, durationSiblings(duration, "08760h")...)
	return append(cases, durationSiblings(renewBefore, "00060m")...)
}
