// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import "maps"

func componentSiblings(component string) []sibling {
	const kubeletPort = "port must not be 10250 with hostNetwork, because the kubelet listens there on each node: set another port, or leave it unset"
	onHost, port := map[string]any{component + ".hostNetwork": true}, component+".port"
	return append(podSiblings(component), []sibling{
		{bound: kubeletPort, set: port, ok: 10249, bad: 10250, field: component, with: onHost},
		{bound: kubeletPort, set: component + ".hostNetwork", ok: false, bad: true, field: component, with: map[string]any{port: 10250}},
		{bound: "minimum", set: port, ok: 1024, bad: 1023},
		{bound: "maximum", set: port, ok: 65535, bad: 65536},
		{bound: "minimum", set: component + ".replicas", ok: 1, bad: 0},
		{bound: "maximum", set: component + ".replicas", ok: 10, bad: 11},
	}...)
}

// podSiblings are about what pods of every component have in common.
func podSiblings(component string) []sibling {
	const (
		labelKey      = "a key of podLabels must be a label key such as team or example.com/team: correct the key"
		annotationKey = "a key of podAnnotations must be an annotation key such as team or example.com/team: correct the key"
		ourLabel      = "podLabels must not have app.kubernetes.io/name, app.kubernetes.io/instance, pod-template-hash, or a key that begins with " +
			"metricspipeline.io/, because the pods are found by these: remove the key"
		ourAnnotation = "podAnnotations must not have a key that begins with metricspipeline.io/, because those are the operator's: remove the key"
		labelValue    = "a label's value must be empty, or letters, digits, -, _ and . with a letter or digit at both ends: correct the value"
	)
	tolerations := func(n int) []any { return repeat(n, map[string]any{"key": "a"}) }
	secrets := func(n int) []any {
		var all []any
		for i := range n {
			all = append(all, map[string]any{"name": text(i + 1)})
		}
		return all
	}
	cases := []sibling{
		{bound: "maxItems", set: component + ".imagePullSecrets", ok: secrets(16), bad: secrets(17)},
		{bound: "map", set: component + ".imagePullSecrets", ok: secrets(2), bad: repeat(2, map[string]any{"name": "a"}), field: component + ".imagePullSecrets[1]"},
		{bound: "required", set: component + ".imagePullSecrets[0].name", ok: "a", bad: absent{}},
		{bound: "minLength", set: component + ".imagePullSecrets[0].name", ok: "a", bad: ""},
		{bound: "maxLength", set: component + ".imagePullSecrets[0].name", ok: text(253), bad: text(254)},
		{bound: "maxProperties", set: component + ".podLabels", ok: labels(32), bad: labels(33)},
		{bound: "maxLength", set: component + ".podLabels.team", ok: text(63), bad: text(64)},
		{bound: labelValue, set: component + ".podLabels.team", ok: "Web_1.0-rc", bad: "two words", field: component + ".podLabels[team]"},
		{bound: "maxProperties", set: component + ".podAnnotations", ok: labels(32), bad: labels(33)},
		{bound: "maxLength", set: component + ".podAnnotations.team", ok: text(4096), bad: text(4097)},
	}
	for _, key := range []string{"two words", "-team", "a/b/c", "/team", text(64)} {
		bad := map[string]any{"good": "", key: ""}
		cases = append(cases,
			sibling{bound: labelKey, set: component + ".podLabels", ok: map[string]any{"sidecar.istio.io/inject": "false"}, bad: bad},
			sibling{bound: annotationKey, set: component + ".podAnnotations", ok: map[string]any{"linkerd.io/inject": "two words"}, bad: bad})
	}
	for _, key := range []string{"metricspipeline.io/component", "app.kubernetes.io/name", "app.kubernetes.io/instance", "pod-template-hash"} {
		cases = append(cases, sibling{bound: ourLabel, set: component + ".podLabels",
			ok: map[string]any{"app.kubernetes.io/part-of": "a"}, bad: map[string]any{"good": "", key: "a"}})
	}
	cases = append(cases, sibling{bound: ourAnnotation, set: component + ".podAnnotations",
		ok: map[string]any{"example.com/metricspipeline.io": "a"}, bad: map[string]any{"good": "", "metricspipeline.io/config-digest": "a"}})
	return append(cases, []sibling{
		{bound: "maxProperties", set: component + ".nodeSelector", ok: labels(64), bad: labels(65)},
		{bound: "maxItems", set: component + ".tolerations", ok: tolerations(64), bad: tolerations(65)},
		{bound: "maxLength", set: component + ".priorityClassName", ok: "", bad: text(254)},
		{bound: "maxLength", set: component + ".priorityClassName", ok: text(253), bad: text(254)},
		{bound: "minLength", set: component + ".image", ok: "a", bad: ""},
		{bound: "maxLength", set: component + ".image", ok: text(1024), bad: text(1025)},
		{bound: "pattern", set: component + ".image", ok: "r.example:5000/a/B_c@sha256:0", bad: "a b"},
		{bound: "pattern", set: component + ".image", ok: "a", bad: "-a"},
		{bound: "maxItems", set: component + ".extraArgs", ok: repeat(32, "--v=2"), bad: repeat(33, "--v=2")},
		{bound: "maxLength", set: component + ".extraArgs[0]", ok: "--v=" + text(1020), bad: "--v=" + text(1021)},
		{bound: "pattern", set: component + ".extraArgs[0]", ok: "--v", bad: "-v"},
		{bound: "pattern", set: component + ".extraArgs[0]", ok: "--v=a b", bad: "--v 2"},
	}...)
}

// portSiblings are about both components in the network of their nodes.
func portSiblings() []sibling {
	const (
		differ = "metricsServer.port and prometheusAdapter.port must differ where both components have hostNetwork, because they share the " +
			"ports of the nodes: set another port for one of them. Unset they are 4443 and 4444"
		server, adapter = "spec.metricsServer", "spec.prometheusAdapter"
	)
	onHost := func(with map[string]any) map[string]any {
		all := map[string]any{server + ".hostNetwork": true, adapter + ".hostNetwork": true}
		maps.Copy(all, with)
		return all
	}
	return []sibling{
		{bound: differ, set: server + ".port", ok: 4443, bad: 4444, field: "spec", with: onHost(nil)},
		{bound: differ, set: adapter + ".port", ok: 4444, bad: 4443, field: "spec", with: onHost(nil)},
		{bound: differ, set: adapter + ".port", ok: 8444, bad: 8443, field: "spec", with: onHost(map[string]any{server + ".port": 8443})},
		{bound: differ, set: server + ".hostNetwork", ok: false, bad: true, field: "spec",
			with: map[string]any{adapter + ".hostNetwork": true, adapter + ".port": 8443, server + ".port": 8443}},
	}
}

// durationSiblings covers the form of a duration; base is a valid one of six characters.
func durationSiblings(field, base string) []sibling {
	long := base + "00000ms00000ms00ms"
	return []sibling{
		{bound: "maxLength", set: field, ok: long, bad: base + "00000ms00000ms000ms"},
		{bound: "pattern", set: field, ok: base, bad: "1.5m"},
		{bound: "pattern", set: field, ok: base + "1ms", bad: "60"},
		{bound: "pattern", set: field, ok: base, bad: "-1m"},
		{bound: "pattern", set: field, ok: base, bad: ""},
	}
}

// trusting ends the message of both components about their flags.
const trusting = " or that decides whom it trusts (--authentication-kubeconfig, --authentication-skip-lookup, " +
	"--authentication-tolerate-lookup-failure, --authorization-always-allow-paths, --authorization-kubeconfig, --client-ca-file, " +
	"--requestheader-*): use the field for it"

// trustFlags are those of every aggregated server.
func trustFlags() []string {
	return []string{
		"--authorization-always-allow-paths=/", "--authentication-kubeconfig=", "--authentication-skip-lookup",
		"--authentication-tolerate-lookup-failure=true", "--authorization-kubeconfig=/a", "--client-ca-file=/a",
		"--requestheader-client-ca-file=/a", "--requestheader-allowed-names=a", "--requestheader-username-headers=a",
	}
}

func metricsServerSiblings() []sibling {
	const (
		resolution = "spec.metricsServer.metricResolution"
		kubelet    = "spec.metricsServer.kubelet"
		authority  = kubelet + ".tls.ca"
		timeout    = kubelet + ".requestTimeout"
		types      = kubelet + ".preferredAddressTypes"
		nineTenths = "kubelet.requestTimeout must be at most nine tenths of metricResolution, or metrics-server exits at start: " +
			"lower kubelet.requestTimeout, leave it unset, or raise metricResolution"
		ownFlag = "extraArgs must not contain a flag that the operator sets (--secure-port, --bind-address, --cert-dir, --tls-*, " +
			"--metric-resolution, --kubelet-port, --kubelet-use-node-status-port, --kubelet-preferred-address-types, " +
			"--kubelet-request-timeout, --kubelet-insecure-tls, --deprecated-kubelet-completely-insecure, --kubeconfig)" + trusting
	)
	key := map[string]any{"name": "kubelet-ca", "key": "ca.crt"}
	cases := []sibling{
		{bound: "metricResolution must be at least 10s, or metrics-server exits at start", set: resolution, ok: "10s", bad: "9s999ms"},
		{bound: "metricResolution must be at most 1h", set: resolution, ok: "1h", bad: "1h1ms"},
		{bound: "enum", set: kubelet + ".tls.verification", ok: "Insecure", bad: "Skip"},
		{bound: "minimum", set: kubelet + ".port", ok: 1, bad: 0},
		{bound: "maximum", set: kubelet + ".port", ok: 65535, bad: 65536},
		{bound: onePlace, set: authority + ".secret", ok: key, bad: absent{}, field: authority},
		{bound: onePlace, set: authority, ok: map[string]any{"configMap": key}, bad: map[string]any{"configMap": key, "secret": key}},
		{
			bound: "kubelet.tls.ca must not be set together with verification: Insecure, or metrics-server exits at start: remove ca, or set " +
				"verification to Verify",
			set: kubelet + ".tls.verification", ok: "Verify", bad: "Insecure", field: kubelet + ".tls",
			with: map[string]any{authority: map[string]any{"secret": key}},
		},
		{
			bound: "extraArgs must not contain --kubelet-certificate-authority together with kubelet.tls.ca: remove it from extraArgs",
			set:   "spec.metricsServer.extraArgs", ok: []any{"--v=2"}, bad: []any{"--kubelet-certificate-authority=/a"}, field: "spec.metricsServer",
			with: map[string]any{authority: map[string]any{"secret": key}},
		},
		{
			bound: "extraArgs must not contain --kubelet-certificate-authority together with kubelet.tls.ca: remove it from extraArgs",
			set:   authority, ok: absent{}, bad: map[string]any{"secret": key}, field: "spec.metricsServer",
			with: map[string]any{"spec.metricsServer.extraArgs": []any{"--kubelet-certificate-authority=/a"}},
		},
		{bound: "minItems", set: types, ok: []any{"InternalIP"}, bad: []any{}},
		{
			bound: "maxItems", set: types,
			ok: []any{"Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"}, bad: repeat(6, "Hostname"),
		},
		{bound: "enum", set: types + "[0]", ok: "Hostname", bad: "Somewhere"},
		{bound: "preferredAddressTypes has one value twice: write each once", set: types, ok: []any{"Hostname"},
			bad: []any{"Hostname", "Hostname"}},
		{bound: "requestTimeout must be at least 1s", set: timeout, ok: "1s", bad: "999ms"},
		{bound: nineTenths, set: timeout, ok: "13500ms", bad: "13501ms", field: "spec.metricsServer"},
		{bound: nineTenths, set: timeout, ok: "9s", bad: "10s", field: "spec.metricsServer", with: map[string]any{resolution: "10s"}},
		{bound: nineTenths, set: timeout, ok: "54m", bad: "54m1ms", field: "spec.metricsServer", with: map[string]any{resolution: "1h"}},
	}
	for _, flag := range append(trustFlags(),
		"--secure-port=1", "--bind-address=::", "--cert-dir=/", "--tls-cert-file=a", "--tls-private-key-file=a",
		"--tls-min-version=VersionTLS10", "--tls-cipher-suites=a", "--metric-resolution=1s", "--kubelet-port=10255",
		"--kubelet-use-node-status-port", "--kubelet-preferred-address-types=Hostname", "--kubelet-request-timeout=1s",
		"--kubelet-insecure-tls", "--deprecated-kubelet-completely-insecure", "--kubeconfig=/a", "--tls-sni-cert-key=a,b",
	) {
		cases = append(cases, sibling{bound: ownFlag, set: "spec.metricsServer.extraArgs", ok: []any{"--v=2"}, bad: []any{"--v=2", flag}})
	}
	for _, kind := range []string{"secret", "configMap"} {
		field, with := authority+"."+kind, map[string]any{authority: map[string]any{kind: key}}
		cases = append(cases, nameSiblings(field+".name", 253, with)...)
		cases = append(cases, nameSiblings(field+".key", 253, with)...)
		cases = append(cases, sibling{bound: "pattern", set: field + ".key", ok: "-._aZ9", bad: "a/b", with: with})
	}
	cases = append(cases, durationSiblings(resolution, "00015s")...)
	return append(cases, durationSiblings(timeout, "00010s")...)
}

func adapterSiblings() []sibling {
	const (
		relist  = "spec.prometheusAdapter.relistInterval"
		maxAge  = "spec.prometheusAdapter.maxAge"
		notLess = "maxAge must be at least relistInterval, or prometheus-adapter exits at start: raise maxAge, leave it unset, " +
			"or lower relistInterval"
		ownFlag = "extraArgs must not contain a flag that the operator sets (--secure-port, --bind-address, --cert-dir, --tls-*, --config, " +
			"--metrics-relist-interval, --metrics-max-age, --prometheus-url, --prometheus-auth-*, --prometheus-*-file, " +
			"--lister-kubeconfig)" + trusting
	)
	cases := []sibling{
		{bound: "relistInterval must be at least 1s", set: relist, ok: "1s", bad: "999ms"},
		{bound: "relistInterval must be at most 1h", set: relist, ok: "1h", bad: "1h1ms"},
		{bound: "maxAge must be at most 24h", set: maxAge, ok: "24h", bad: "24h1ms"},
		{bound: notLess, set: maxAge, ok: "1m", bad: "59s", field: "spec.prometheusAdapter"},
		{bound: notLess, set: maxAge, ok: "2m", bad: "119999ms", field: "spec.prometheusAdapter", with: map[string]any{relist: "2m"}},
	}
	for _, flag := range append(trustFlags(),
		"--secure-port=1", "--bind-address=::", "--cert-dir=/", "--tls-cert-file=a", "--tls-private-key-file=a", "--config=/a",
		"--metrics-relist-interval=1s", "--metrics-max-age=1s", "--prometheus-url=http://a", "--prometheus-auth-incluster",
		"--prometheus-auth-config=/a", "--prometheus-ca-file=/a", "--prometheus-token-file=/a", "--prometheus-client-tls-cert-file=/a",
		"--prometheus-client-tls-key-file=/a", "--tls-min-version=VersionTLS10", "--tls-cipher-suites=a", "--lister-kubeconfig=/a", "--tls-sni-cert-key=a,b",
	) {
		cases = append(cases, sibling{bound: ownFlag, set: "spec.prometheusAdapter.extraArgs", ok: []any{"--v=2"}, bad: []any{"--v=2", flag}})
	}
	cases = append(cases, durationSiblings(relist, "00060s")...)
	return append(cases, durationSiblings(maxAge, "00060s")...)
}
