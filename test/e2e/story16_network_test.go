// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

// The places of flows. bystander is a pod of the operator's namespace that is none of ours, app one of another namespace.
const (
	operatorPod   = "operator"
	metricsServer = "metrics-server"
	adapterPod    = "prometheus-adapter"
	bystander     = "bystander"
	appPod        = "app"
	prometheusPod = "prometheus"
	dnsPod        = "dns"
	outside       = "outside"
	node          = "node"
)

// flows are what docs/security.md lists, and neighbors of it that are refused. Something listens on each of these ports. None is from
// the node: what a node sends to its own pods is not filtered here.
var flows = []struct {
	from, to string
	open     string
	refused  string
}{
	{from: operatorPod, to: dnsPod, open: "5353"},
	{from: operatorPod, to: node, open: "6443"},
	{from: operatorPod, to: prometheusPod, open: "9090"},
	{from: operatorPod, to: metricsServer, open: "10250"},
	{from: operatorPod, to: adapterPod, open: "10250"},
	{from: operatorPod, to: outside, open: "443 6443 8080 9090"}, // An API server and a Prometheus at any port.
	{from: operatorPod, to: bystander, refused: "8080"},          // Its own policy would let it, the other's namespace does not.

	{from: metricsServer, to: dnsPod, open: "5353", refused: "9153"},
	{from: metricsServer, to: node, open: "6443 10250"},
	{from: metricsServer, to: outside, open: "53 443 5353 6443 10250", refused: "8080 9090"}, // API server and kubelets.
	{from: metricsServer, to: prometheusPod, refused: "9090"},
	{from: metricsServer, to: appPod, refused: "8080"},
	{from: metricsServer, to: operatorPod, refused: "8081 8443"},

	{from: adapterPod, to: dnsPod, open: "5353", refused: "9153"},
	{from: adapterPod, to: node, open: "6443", refused: "10250"},
	{from: adapterPod, to: prometheusPod, open: "9090", refused: "8080"},
	{from: adapterPod, to: outside, open: "53 443 5353 6443 9090", refused: "8080 10250"},
	{from: adapterPod, to: metricsServer, refused: "10250"},
	{from: adapterPod, to: appPod, refused: "8080"},
	{from: adapterPod, to: operatorPod, refused: "8081 8443"},

	{from: bystander, to: dnsPod, refused: "5353 9153"},
	{from: bystander, to: node, refused: "6443 10250"},
	{from: bystander, to: outside, refused: "443"},
	{from: bystander, to: operatorPod, refused: "8081 8443"},
	{from: bystander, to: metricsServer, refused: "10250"},

	// The API server and Prometheus may be anywhere.
	{from: appPod, to: operatorPod, open: "8443", refused: "8081"},
	{from: appPod, to: metricsServer, open: "10250"},
	{from: appPod, to: adapterPod, open: "10250"},
	{from: appPod, to: bystander, refused: "8080"},
	{from: prometheusPod, to: operatorPod, open: "8443", refused: "8081"},
	{from: outside, to: operatorPod, open: "8443", refused: "8081"},
	{from: outside, to: metricsServer, open: "10250"},
	{from: outside, to: adapterPod, open: "10250"},
	{from: outside, to: bystander, refused: "8080"},
}

// TestOnlyListedFlowsAreOpen connects from the pods of the operator's namespace, which denies everything that our policies do not
// allow, and to them.
func TestOnlyListedFlowsAreOpen(t *testing.T) {
	needTestCluster(t)
	g := story(t)
	givenRules(t)
	givenBystander(t)
	from, address := places(t, g)
	for _, flow := range flows {
		t.Run(flow.from+" to "+flow.to, func(t *testing.T) {
			for _, port := range strings.Fields(flow.open) {
				if why := dial(t, from[flow.from], net.JoinHostPort(address[flow.to], port)); why != "" {
					t.Errorf("port %s: %s", port, why)
				}
			}
			for _, port := range strings.Fields(flow.refused) {
				to := net.JoinHostPort(address[flow.to], port)
				if why := dial(t, kit.FromNode, to); why != "" {
					t.Errorf("port %s: nothing listens: %s", port, why)
				}
				if dial(t, from[flow.from], to) == "" {
					t.Errorf("port %s is open", port)
				}
			}
		})
	}
}

// dial returns why an address does not accept a connection; empty where it does.
func dial(t *testing.T, from, to string) string {
	t.Helper()
	answers, err := cluster.Dial(within(t, soon), from, to)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return answers[to]
}

// givenBystander runs a pod in the operator's namespace that no policy of ours is about.
func givenBystander(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: bystander, Labels: map[string]string{"app.kubernetes.io/name": bystander}},
		Spec:       kit.SamplePod(),
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.Delete(ctx, pod)).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), pod)).To(Succeed())
	g.Expect(kit.Await(within(t, rollout), cluster, &corev1.PodList{}, client.ObjectKeyFromObject(pod), kit.PodReady)).To(Succeed())
}

// places are where the pods are connected from, and their addresses.
func places(t *testing.T, g Gomega) (from, address map[string]string) {
	t.Helper()
	from, address = map[string]string{outside: kit.FromOutside}, map[string]string{outside: kit.OutsideIP}
	nodes := &corev1.NodeList{}
	g.Expect(cluster.Client.List(t.Context(), nodes)).To(Succeed())
	address[node] = nodes.Items[0].Status.Addresses[0].Address
	for place, selected := range map[string]struct {
		namespace, label, value string
	}{
		operatorPod:   {kit.OperatorNamespace, "app.kubernetes.io/name", kit.OperatorName},
		metricsServer: {kit.OperatorNamespace, "app.kubernetes.io/name", metricsServer},
		adapterPod:    {kit.OperatorNamespace, "app.kubernetes.io/name", adapterName},
		bystander:     {kit.OperatorNamespace, "app.kubernetes.io/name", bystander},
		appPod:        {kit.SampleNamespace, "app.kubernetes.io/name", samples[0].name},
		prometheusPod: {"monitoring", "app.kubernetes.io/name", "prometheus"},
		dnsPod:        {"kube-system", "k8s-app", "kube-dns"},
	} {
		pods := &corev1.PodList{}
		g.Expect(cluster.Client.List(t.Context(), pods, client.InNamespace(selected.namespace),
			client.MatchingLabels{selected.label: selected.value})).To(Succeed())
		for i := range pods.Items {
			if pod := &pods.Items[i]; kit.PodReady(pod) && pod.DeletionTimestamp == nil {
				from[place], address[place] = kit.FromPod(pod), pod.Status.PodIP
			}
		}
		g.Expect(place == bystander || address[place] != "").To(BeTrue(), "no pod of %s is ready", place)
	}
	return from, address
}

// TestTheNarrowPolicyOfTheDocumentation starts the operators under the policy that docs/security.md has for clusters whose ports
// are known.
func TestTheNarrowPolicyOfTheDocumentation(t *testing.T) {
	needTestCluster(t)
	g := story(t)
	givenRules(t)
	givenOperatorAgain(t)
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: kit.OperatorName}}
	t.Cleanup(func() { // What is patched here is this test's field, which no apply of the installation would take back.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
		defer cancel()
		g.Expect(cluster.Client.Delete(ctx, policy)).To(Succeed())
	})
	g.Expect(cluster.Client.Patch(t.Context(), policy, client.RawPatch(types.JSONPatchType, documentedPatch(t)))).To(Succeed())

	operators, before := podsOf(t, g, deployment(t, g, kit.OperatorName)), podNames(t, g, kit.OperatorName)
	for i := range operators {
		g.Expect(cluster.Client.Delete(t.Context(), &operators[i])).To(Succeed())
	}
	thenReplaced(t, kit.OperatorName, before)
	thenLed(t, time.Now())
	thenReady(t, rollout)
	from, _ := places(t, g)
	g.Expect(dial(t, from[operatorPod], net.JoinHostPort(kit.OutsideIP, "443"))).To(BeEmpty())
	g.Expect(dial(t, from[operatorPod], net.JoinHostPort(kit.OutsideIP, "8080"))).NotTo(BeEmpty(), "8080 is not of the patch")
}

// documentedPatch is the patch of the operator's policy in docs/security.md, as JSON.
func documentedPatch(t *testing.T) []byte {
	t.Helper()
	g := NewWithT(t)
	content, err := os.ReadFile(filepath.Join(cluster.Root, "docs", "security.md"))
	g.Expect(err).NotTo(HaveOccurred())
	_, block, found := strings.Cut(string(content), "# kustomization.yaml\n")
	g.Expect(found).To(BeTrue())
	block, _, _ = strings.Cut(block, "```")
	var kustomization struct {
		Patches []struct {
			Patch string `json:"patch"`
		} `json:"patches"`
	}
	g.Expect(yaml.Unmarshal([]byte(block), &kustomization)).To(Succeed())
	g.Expect(kustomization.Patches).To(HaveLen(1))
	patch, err := yaml.YAMLToJSON([]byte(kustomization.Patches[0].Patch))
	g.Expect(err).NotTo(HaveOccurred())
	return patch
}

// TestOperandMetricsDemandAToken queries /metrics of the components as anybody can, and as Prometheus does.
func TestOperandMetricsDemandAToken(t *testing.T) {
	g := story(t)
	givenRules(t)
	for _, component := range []string{metricsServer, adapterName} {
		// The API server's proxy passes no credentials on.
		service := fmt.Sprintf("/api/v1/namespaces/%s/services/https:%s:https/proxy", kit.OperatorNamespace, component)
		_, err := cluster.Get(t.Context(), service+"/metrics")
		g.Expect(err).To(MatchError(Or(ContainSubstring(": 401:"), ContainSubstring(": 403:"))), component)
		_, err = cluster.Get(t.Context(), service+"/readyz")
		g.Expect(err).NotTo(HaveOccurred(), "the kubelet probes it without a token")

		thenTheirMetricsAreScraped(t, component, 2)
	}
}
