// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/metricsserver"
	"github.com/metricspipeline/operator/internal/operand/prometheusadapter"
)

// attempt is a patch, and what the error says of it; nothing where it is allowed.
type attempt struct {
	kind, name, patch string
	says              string
}

const (
	metricsServer = metricsserver.Name
	adapter       = prometheusadapter.Name
)

// pods is a patch of metrics-server's pods, container of its container, and beside of one beside it.
func pods(content, says string) attempt {
	return attempt{"Deployment", metricsServer, "spec: {template: {spec: {" + content + "}}}", says}
}

func container(content, says string) attempt {
	return pods("containers: [{name: metrics-server, "+content+"}]", says)
}

const restrictedContext = "allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}"

func beside(content, says string) attempt {
	return pods("containers: [{name: side, image: side, securityContext: {"+restrictedContext+"}, "+content+"}]", says)
}

func volume(content, says string) attempt {
	return pods("volumes: [{name: more, "+content+"}]", says)
}

// try builds all components of a pipeline with everything, and expects the patch to be refused for the component that it is about
// alone, or for none.
func try(t *testing.T, all map[string]attempt) {
	t.Helper()
	in := read(t, "everything")
	in.Facts.ServiceMonitors = true
	in.Spec.MetricsServer.Kubelet.TLS.Verification = "" // It sets a flag that no patch may set.
	for name, a := range all {
		t.Run(name, func(t *testing.T) {
			with := in
			with.Spec.Patches = []v1alpha1.Patch{patch(a.kind, a.name, a.patch)}
			refused := false
			for _, c := range with.components() {
				var renderer Renderer
				_, err := renderer.Build(c)
				if err == nil {
					continue
				}
				refused = true
				if !strings.Contains(err.Error(), "spec.patches[0]") || !strings.Contains(err.Error(), a.says) || a.says == "" {
					t.Errorf("%s: error %v, want %q", c.Name, err, a.says)
				}
				if a.name != "" && !strings.Contains(a.name, c.Name) {
					t.Errorf("%s: a patch of %s is a fault of another component: %v", c.Name, a.name, err)
				}
				if len(err.Error()) > 1500 {
					t.Errorf("the message has %d characters: too long for a status", len(err.Error()))
				}
			}
			if !refused && a.says != "" {
				t.Errorf("the patch is not refused; want %q", a.says)
			}
		})
	}
}

// TestMisuseOfPods: whoever edits the pipeline gets pods that any user of the namespace could have, with the rights of the component.
func TestMisuseOfPods(t *testing.T) {
	const level = "would violate the Pod Security level restricted: "
	try(t, map[string]attempt{
		"the operator's account":       pods("serviceAccountName: metricspipeline-operator", `serviceAccountName to "metricspipeline-operator"`),
		"its deprecated form":          pods("serviceAccount: metricspipeline-operator", "serviceAccount to"),
		"no account":                   pods("serviceAccountName: null", "removes spec.template.spec.serviceAccountName"),
		"by an operation":              {"Deployment", metricsServer, `[{op: replace, path: /spec/template/spec/serviceAccountName, value: other}]`, "own ServiceAccount"},
		"by an operation that removes": {"Deployment", metricsServer, `[{op: remove, path: /spec/template/spec/serviceAccountName}]`, "removes spec.template.spec.serviceAccountName"},
		"by copying":                   {"Deployment", metricsServer, `[{op: copy, from: /metadata/namespace, path: /spec/template/spec/serviceAccountName}]`, "serviceAccountName"},
		"every component's":            {"Deployment", "", "spec: {template: {spec: {serviceAccountName: x}}}", "serviceAccountName"},
		"pods as a whole":              pods("$patch: replace, serviceAccountName: metrics-server, containers: [{name: x, image: x}]", "containers[metrics-server]"),
		"the host's network":           pods("hostNetwork: true", "hostNetwork to true; the network of the node is a field's to choose; remove it from the patch, and set the component's hostNetwork"),
		"the host's processes":         pods("hostPID: true", "hostPID to true"),
		"the host's IPC":               pods("hostIPC: true", "hostIPC to true"),
		"users without the level":      pods("hostUsers: false, securityContext: {runAsUser: 0}", "hostUsers to false"),
		"another operating system":     pods("os: {name: windows}", "spec.template.spec.os to"),
		"a node":                       pods("nodeName: control-plane", "nodeName to"),
		"one process namespace":        pods("shareProcessNamespace: true", "shareProcessNamespace to"),
		"a number as priority":         pods("priority: 2000001000", "priority to"),
		"an ephemeral container":       pods("ephemeralContainers: [{name: x, image: x}]", "ephemeralContainers to"),
		"root":                         pods("securityContext: {runAsUser: 0}", level+"runAsUser=0"),
		"perhaps root":                 pods("securityContext: {runAsNonRoot: null}", level+"runAsNonRoot != true"),
		"a system call filter off":     pods("securityContext: {seccompProfile: {type: Unconfined}}", level+"seccompProfile"),
		"a kernel parameter":           pods("securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}", level+"forbidden sysctls"),
		"another SELinux type":         pods("securityContext: {seLinuxOptions: {type: spc_t}}", level+"seLinuxOptions"),
		"AppArmor off":                 pods("securityContext: {appArmorProfile: {type: Unconfined}}", level+"forbidden AppArmor profile"),
		"AppArmor off, as annotation":  {"Deployment", metricsServer, "spec: {template: {metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/metrics-server: unconfined}}}}", level + "forbidden AppArmor profile"},
		"a process of the host":        pods("securityContext: {windowsOptions: {hostProcess: true}}", level+"hostProcess"),
		"privileged":                   container("securityContext: {privileged: true}", level+"privileged"),
		"escalation":                   container("securityContext: {allowPrivilegeEscalation: true}", level+"allowPrivilegeEscalation"),
		"a capability":                 container("securityContext: {capabilities: {add: [NET_RAW]}}", level+"unrestricted capabilities"),
		"no capability dropped":        container("securityContext: {capabilities: null}", level+"unrestricted capabilities"),
		"no security context":          container("securityContext: null", level),
		"all of proc":                  container("securityContext: {procMount: Unmasked}", level+"procMount"),
		"a host's port":                container("ports: [{containerPort: 10250, protocol: TCP, hostPort: 80}]", "hostPort to 80"),
		"a probe of another host":      container("livenessProbe: {httpGet: {host: 169.254.169.254}}", level+"probe"),
		"a hook to another host":       container("lifecycle: {postStart: {httpGet: {host: 10.0.0.1, port: 80}}}", level+"probe or lifecycle host"),
		"another port":                 container("ports: [{containerPort: 10250, protocol: TCP, name: other}]", "removes spec.template.spec.containers[metrics-server].ports[https]"),
		"a device":                     container("volumeDevices: [{name: more, devicePath: /dev/sda}]", "volumeDevices to"),
		"another's Secret":             container("env: [{name: A, valueFrom: {secretKeyRef: {name: metricspipeline-ca, key: tls.key}}}]", `no other Secret than those that the component has by the fields of the spec: ["metrics-server-tls"]`),
		"all of a Secret":              container("envFrom: [{secretRef: {name: metricspipeline-ca}}]", "no other Secret"),
		"the other component's key":    container("envFrom: [{secretRef: {name: prometheus-adapter-tls}}]", "no other Secret"),
		"a sidecar of root":            pods("containers: [{name: side, image: side}]", level+"allowPrivilegeEscalation"),
		"a sidecar's Secret":           beside("envFrom: [{secretRef: {name: metricspipeline-ca}}]", "containers[side].envFrom[0].secretRef.name"),
		"a sidecar's port":             beside("ports: [{containerPort: 1, hostPort: 1}]", "containers[side].ports[0].hostPort"),
		"a privileged init container":  pods("initContainers: [{name: x, image: x, securityContext: {privileged: true}}]", level+"privileged"),
		"an init container's Secret":   pods("initContainers: [{name: x, image: x, securityContext: {"+restrictedContext+"}, envFrom: [{secretRef: {name: a}}]}]", "initContainers[x]"),
		"no container":                 {"Deployment", metricsServer, `[{op: remove, path: /spec/template/spec/containers/0}]`, "containers"},
	})
}

// TestMisuseOfVolumes: no file of the node, and no credential but the component's.
func TestMisuseOfVolumes(t *testing.T) {
	all := map[string]attempt{
		"a folder of the node":          volume("hostPath: {path: /}", `volumes[more].hostPath to {"path":"/"}`),
		"that on top of another":        {"Deployment", metricsServer, `[{op: replace, path: /spec/template/spec/volumes/0, value: {name: serving-cert, hostPath: {path: /}}}]`, "volumes[serving-cert].hostPath"},
		"a Secret":                      volume("secret: {secretName: metricspipeline-ca}", `secretName to "metricspipeline-ca"`),
		"that on top of another Secret": {"Deployment", metricsServer, `[{op: replace, path: /spec/template/spec/volumes/0/secret/secretName, value: a}]`, "no other Secret"},
		"a projected Secret":            volume("projected: {sources: [{secret: {name: a}}]}", "no other Secret"),
		"a certificate of a pod":        volume("projected: {sources: [{podCertificate: {signerName: a/b, keyType: ED25519}}]}", "podCertificate to"),
	}
	for _, source := range []string{
		"awsElasticBlockStore: {volumeID: a}", "csi: {driver: secrets-store.csi.k8s.io}", "ephemeral: {volumeClaimTemplate: {}}",
		"fc: {lun: 1}", "flexVolume: {driver: a}", "gitRepo: {repository: a}", "image: {reference: a}", "iscsi: {iqn: a}",
		"nfs: {server: a, path: /}", "persistentVolumeClaim: {claimName: a}", "cephfs: {monitors: [a]}", "rbd: {image: a}",
	} {
		kind, _, _ := strings.Cut(source, ":")
		all[kind] = volume(source, "volumes[more]."+kind+" to")
	}
	try(t, all)
}

// TestMisuseOfObjects: no right, no other namespace, no pods but the component's, no request of Prometheus' but to it.
func TestMisuseOfObjects(t *testing.T) {
	role, binding := "metricspipeline:metrics-server", "metricspipeline:metrics-server:auth-delegator"
	subject := "[{op: replace, path: /subjects/0/namespace, value: kube-system}]"
	label := "metadata: {labels: {rbac.authorization.k8s.io/aggregate-to-admin: 'true'}}"
	const kind = "no patch may change an object of this kind"
	try(t, map[string]attempt{
		"another namespace's subject": {"ClusterRoleBinding", binding, subject, `subjects to [{"kind":"ServiceAccount","name":"metrics-server","namespace":"kube-system"}]; ` + kind},
		"one more subject":            {"ClusterRoleBinding", binding, "[{op: add, path: /subjects/-, value: {kind: User, apiGroup: rbac.authorization.k8s.io, name: me}}]", kind},
		"another role":                {"ClusterRoleBinding", binding, "roleRef: {name: cluster-admin}", kind},
		"one more right":              {"ClusterRole", role, "[{op: add, path: /rules/-, value: {apiGroups: ['*'], resources: ['*'], verbs: ['*']}}]", kind},
		"one right less":              {"ClusterRole", role, "rules: []", kind},
		"a role for all":              {"ClusterRole", role, label, kind},
		"a role that collects":        {"ClusterRole", role, "aggregationRule: {clusterRoleSelectors: [{matchLabels: {}}]}", kind},

		"an external address":        {"Service", metricsServer, "spec: {externalIPs: [192.0.2.1]}", "externalIPs to"},
		"another host":               {"Service", metricsServer, "spec: {type: ExternalName, externalName: example.com}", "externalName to"},
		"a port of all nodes":        {"Service", metricsServer, "spec: {type: NodePort}", "spec.type to"},
		"its number":                 {"Service", metricsServer, "[{op: add, path: /spec/ports/0/nodePort, value: 30443}]", "nodePort to"},
		"another port":               {"Service", metricsServer, "[{op: replace, path: /spec/ports/0/port, value: 444}]", "spec.ports[https].port to 444; the component needs it"},
		"no port":                    {"Service", metricsServer, "[{op: remove, path: /spec/ports}]", "removes spec.ports[https].name"},
		"a load balancer":            {"Service", metricsServer, "spec: {type: LoadBalancer}", "spec.type to"},
		"no address":                 {"Service", metricsServer, "spec: {clusterIP: None}", "spec.clusterIP to"},
		"other pods":                 {"Service", metricsServer, "spec: {selector: {app.kubernetes.io/name: metricspipeline-operator}}", "spec.selector to"},
		"pods that do not serve":     {"Service", metricsServer, "spec: {publishNotReadyAddresses: true}", "publishNotReadyAddresses to"},
		"other pods of a policy":     {"NetworkPolicy", metricsServer, "spec: {podSelector: null}", "removes spec.podSelector"},
		"other pods of a budget":     {"PodDisruptionBudget", metricsServer, "spec: {selector: {matchLabels: {app.kubernetes.io/name: x}}}", "spec.selector"},
		"other pods of a Deployment": {"Deployment", metricsServer, "spec: {selector: {matchLabels: {a: b}}}", "spec.selector"},
		"a rollout that stops":       {"Deployment", metricsServer, "spec: {paused: true}", "spec.paused to true"},
		"a Secret of an account":     {"ServiceAccount", metricsServer, "secrets: [{name: theirs}]", "secrets to"},
		"checked rules":              {"ConfigMap", adapter, "data: {config.yaml: 'rules: nonsense'}", `data["config.yaml"] to`},
		"no rules":                   {"ConfigMap", adapter, "[{op: remove, path: /data}]", `removes data["config.yaml"]`},
		"a ConfigMap for ever":       {"ConfigMap", adapter, "immutable: true", "immutable to true"},
		"an owner":                   {"Deployment", metricsServer, "metadata: {ownerReferences: [{apiVersion: v1, kind: Node, name: a, uid: b}]}", "metadata.ownerReferences to"},
		"a finalizer":                {"Deployment", metricsServer, "metadata: {finalizers: [example.com/never]}", "metadata.finalizers to"},
		"a generated name":           {"Deployment", metricsServer, "metadata: {generateName: a}", "metadata.generateName to"},
		"a digest":                   {"Deployment", adapter, "spec: {template: {metadata: {annotations: {metricspipeline.io/config-digest: a}}}}", "metricspipeline.io/config-digest"},
		"all annotations":            {"Deployment", adapter, "[{op: add, path: /spec/template/metadata/annotations, value: {a: b}}]", "removes spec.template.metadata.annotations[\"metricspipeline.io/config-digest\"]"},
		"an annotation of ours":      {"Service", metricsServer, "metadata: {annotations: {metricspipeline.io/certificate-provider: a}}", "are the operator's"},

		"other namespaces":      {"ServiceMonitor", metricsServer, "spec: {namespaceSelector: {any: true}}", "namespaceSelector to"},
		"other Services":        {"ServiceMonitor", metricsServer, "spec: {selector: {matchLabels: {a: b}}}", "spec.selector"},
		"another path":          {"ServiceMonitor", metricsServer, endpoint("path", "/federate"), "endpoints[0].path to"},
		"parameters":            {"ServiceMonitor", metricsServer, endpoint("params", map[string]any{}), "endpoints[0].params to"},
		"a proxy":               {"ServiceMonitor", metricsServer, endpoint("proxyUrl", "http://a"), "endpoints[0].proxyUrl to"},
		"Prometheus' own token": {"ServiceMonitor", metricsServer, endpoint("bearerTokenFile", "/var/run/secrets/kubernetes.io/serviceaccount/token"), "bearerTokenFile to"},
		"a password":            {"ServiceMonitor", metricsServer, endpoint("basicAuth", map[string]any{}), "basicAuth to"},
		"no verification":       {"ServiceMonitor", metricsServer, "[{op: add, path: /spec/endpoints/0/tlsConfig/insecureSkipVerify, value: true}]", "endpoints[0].tlsConfig to"},
		"another address":       {"ServiceMonitor", metricsServer, endpoint("relabelings", []any{map[string]any{"targetLabel": "__address__"}}), "relabelings to"},
		"another endpoint":      {"ServiceMonitor", metricsServer, "[{op: add, path: /spec/endpoints/-, value: {port: other}}]", "endpoints[1].port to"},
		"labels of others":      {"ServiceMonitor", metricsServer, endpoint("honorLabels", true), "honorLabels to"},
	})
}

func endpoint(field string, value any) string {
	content, err := json.Marshal([]operand.Operation{{Op: "add", Path: "/spec/endpoints/0/" + field, Value: value}})
	if err != nil {
		panic(err)
	}
	return string(content)
}

// TestMisuseOfFlags: what no condition would say.
func TestMisuseOfFlags(t *testing.T) {
	all := map[string]attempt{}
	for _, flag := range []string{
		"--authorization-always-allow-paths=/*", "--authentication-skip-lookup", "--authentication-tolerate-lookup-failure=true",
		"--authentication-kubeconfig=/a", "--authorization-kubeconfig=/a", "--client-ca-file=/a", "--requestheader-client-ca-file=/a",
		"--requestheader-allowed-names=a", "--kubelet-insecure-tls", "--deprecated-kubelet-completely-insecure", "--kubelet-insecure-tls=true",
	} {
		all["metrics-server "+flag] = attempt{"Deployment", metricsServer, "[{op: add, path: /spec/template/spec/containers/0/args/-, value: " +
			flag + "}]", `"` + flag + `" would weaken whom the component trusts`}
		if !strings.Contains(flag, "kubelet") {
			all["prometheus-adapter "+flag] = attempt{"Deployment", adapter, "[{op: add, path: /spec/template/spec/containers/0/args/-, value: " +
				flag + "}]", `"` + flag + `" would weaken`}
		}
	}
	try(t, all)
}

// TestUse: what people patch, and may.
func TestUse(t *testing.T) {
	try(t, map[string]attempt{
		"labels and annotations":    {"Deployment", "", "metadata: {labels: {team: a}, annotations: {a: b}}", ""},
		"of pods":                   {"Deployment", "", "spec: {template: {metadata: {labels: {team: a}, annotations: {sidecar.istio.io/inject: 'false'}}}}", ""},
		"a strategy":                {"Deployment", "", "spec: {strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}, progressDeadlineSeconds: 60, minReadySeconds: 1}", ""},
		"nodes":                     pods("nodeSelector: {pool: a}, tolerations: [{operator: Exists}], affinity: {nodeAffinity: {}}", ""),
		"spread":                    pods("topologySpreadConstraints: [{maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}]", ""),
		"a scheduler and a class":   pods("schedulerName: mine, runtimeClassName: gvisor, priorityClassName: low, preemptionPolicy: Never", ""),
		"names":                     pods("dnsPolicy: Default, dnsConfig: {nameservers: [192.0.2.1]}, hostAliases: [{ip: 192.0.2.1, hostnames: [a]}]", ""),
		"a time to end":             pods("terminationGracePeriodSeconds: 60", ""),
		"pull secrets":              pods("imagePullSecrets: [{name: mirror}]", ""),
		"pull secrets of accounts":  {"ServiceAccount", "", "imagePullSecrets: [{name: mirror}]", ""},
		"a cloud's role":            {"ServiceAccount", adapter, "metadata: {annotations: {eks.amazonaws.com/role-arn: a}}", ""},
		"another user":              pods("securityContext: {runAsUser: 2000, fsGroup: 2000, supplementalGroups: [3000]}", ""),
		"a profile of the node":     pods("securityContext: {seccompProfile: {type: Localhost, localhostProfile: a.json}}", ""),
		"one Pod Security allows":   container("securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}", ""),
		"resources":                 container("resources: {limits: {memory: 1Gi}}", ""),
		"an image":                  container("image: mirror.example.com/a:1, imagePullPolicy: Always", ""),
		"probes":                    container("startupProbe: {httpGet: {path: /livez, port: https, scheme: HTTPS}}, livenessProbe: {timeoutSeconds: 9}", ""),
		"variables":                 container("env: [{name: HTTPS_PROXY, value: a}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]", ""),
		"a port":                    container("ports: [{name: more, containerPort: 8080, protocol: TCP}]", ""),
		"a flag":                    {"Deployment", metricsServer, `[{op: add, path: /spec/template/spec/containers/0/args/-, value: --node-selector=pool=a}]`, ""},
		"fewer cipher suites":       {"Deployment", metricsServer, `[{op: replace, path: /spec/template/spec/containers/0/args/4, value: --tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}]`, ""},
		"a sidecar":                 beside("volumeMounts: [{name: serving-cert, mountPath: /a}], resources: {}, env: [{name: A, value: a}]", ""),
		"one of the kubelet's kind": pods("initContainers: [{name: x, image: x, restartPolicy: Always, securityContext: {"+restrictedContext+"}}]", ""),
		"a volume in memory":        volume("emptyDir: {medium: Memory}", ""),
		"what it has":               volume("secret: {secretName: metrics-server-tls, items: [{key: ca.crt, path: ca}]}", ""),
		"the cluster's CA":          volume("configMap: {name: kube-root-ca.crt}", ""),
		"a token of its own":        volume("projected: {sources: [{serviceAccountToken: {path: token, audience: sts.amazonaws.com}}, {configMap: {name: kube-root-ca.crt}}, {downwardAPI: {items: []}}, {clusterTrustBundle: {path: a, signerName: b/c}}]}", ""),
		"a sidecar's ConfigMap":     volume("configMap: {name: envoy, defaultMode: 288}", ""),
		"one of several sources":    volume("projected: {sources: [{configMap: {name: envoy}}]}", ""),
		"a variable of a ConfigMap": container("env: [{name: A, valueFrom: {configMapKeyRef: {name: proxies, key: a}}}]", ""),
		"those of a ConfigMap":      beside("envFrom: [{configMapRef: {name: proxies}}]", ""),
		"a file for a sidecar":      {"ConfigMap", adapter, "data: {envoy.yaml: 'static_resources: {}'}", ""},
		"policies":                  {"NetworkPolicy", "", "[{op: add, path: /spec/egress/0/ports/-, value: {protocol: TCP, port: 10260}}, {op: add, path: /spec/ingress/0/from, value: [{podSelector: {}}]}]", ""},
		"a budget":                  {"PodDisruptionBudget", "", "spec: {minAvailable: null, maxUnavailable: 1}", ""},
		"a Service's families":      {"Service", metricsServer, "spec: {ipFamilyPolicy: PreferDualStack, internalTrafficPolicy: Local, ports: [{name: more, port: 8080, targetPort: 8080}]}", ""},
		"an interval":               {"ServiceMonitor", metricsServer, endpoint("interval", "1m"), ""},
		"what is kept":              {"ServiceMonitor", metricsServer, endpoint("metricRelabelings", []any{map[string]any{"action": "drop", "regex": "go_.*"}}), ""},
		"limits":                    {"ServiceMonitor", "", "spec: {sampleLimit: 1000, targetLabels: [team]}", ""},
		"nothing of a role":         {"ClusterRole", "", "[]", ""},
	})
}

// TestSeveralPatchesTogether: the one that is at fault is named, and one may change what an earlier one added.
func TestSeveralPatchesTogether(t *testing.T) {
	var renderer Renderer
	good := patch("Deployment", metricsServer, "spec: {template: {spec: {volumes: [{name: more, emptyDir: {}}]}}}")
	bad := patch("Deployment", metricsServer, "[{op: move, from: /spec/template/spec/volumes/0/emptyDir, path: /spec/template/spec/volumes/0/hostPath}]")
	objects, err := renderer.Build(server(good, bad))
	if err == nil || !strings.Contains(err.Error(), "spec.patches[1]: ") || !strings.Contains(err.Error(), "hostPath") {
		t.Errorf("%d objects, error %v", len(objects), err)
	}
	first := patch("Deployment", metricsServer, "spec: {template: {spec: {containers: [{name: side, image: a, ports: [{name: p, containerPort: 1}], "+
		"securityContext: {"+restrictedContext+"}}]}}}")
	second := patch("Deployment", metricsServer, "[{op: replace, path: /spec/template/spec/containers/1/ports/0/containerPort, value: 2}]")
	if _, err := renderer.Build(server(first, second)); err != nil {
		t.Errorf("a patch may not change what an earlier one added: %v", err)
	}
}

// TestSeveralDocuments: all but the first would be lost, and the reader of the patch would not know.
func TestSeveralDocuments(t *testing.T) {
	for content, refused := range map[string]bool{
		"---\nspec: {minReadySeconds: 1}\n":                                       false,
		"spec: {minReadySeconds: 1}\n---\n":                                       false,
		"spec: {minReadySeconds: 1}\n---\nspec: {template: {}}\n":                 true,
		"spec: {minReadySeconds: 1}\n---\n{unclosed":                              true,
		"[]\n---\n[{op: add, path: /metadata/annotations, value: {a: b}}]\n":      true,
		"metadata:\n  annotations:\n    a: |-\n      one\n      ---\n      two\n": false,
	} {
		var renderer Renderer
		_, err := renderer.Build(server(patch("Deployment", metricsServer, content)))
		if got := err != nil; got != refused {
			t.Errorf("%q: error %v", content, err)
		}
	}
}
