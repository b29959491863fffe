// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package bare tests a cluster without any Prometheus and without prometheus-operator: one `kubectl apply` of a pipeline, an app and an
// HPA is enough there too. It has a cluster of its own: `make test-e2e-bare` sees to that.
package bare

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	app   = "bare"
	often = 250 * time.Millisecond
	// comesUp bounds the time from the apply to the first number: pods, two scrapes, and a ConfigMap that the kubelet brings.
	comesUp = 4 * time.Minute
)

// TestBareCluster: on a cluster without Prometheus an app scales on requests, with no rule and no monitor; cpu_usage is there; who has no
// token, or trusts another authority, is refused; no value is missing while certificates and pods are replaced; and deleting the pipeline
// leaves nothing.
func TestBareCluster(t *testing.T) {
	g := NewWithT(t)
	cluster, err := kit.Connect()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if t.Failed() {
			var out strings.Builder
			cluster.Dump(context.WithoutCancel(t.Context()), &out)
			t.Log(out.String())
		}
	})
	g.Expect(cluster.InstallOperator(t.Context())).To(Succeed())
	g.Expect(cluster.Apply(t.Context(), kit.SampleNamespaceObjects()...)).To(Succeed())

	start := time.Now()
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	pipeline.Spec.Prometheus.Managed = &v1alpha1.ManagedPrometheusSpec{ScrapeInterval: "5s"}
	pipeline.Spec.PrometheusAdapter.RelistInterval = "10s"
	g.Expect(cluster.ApplyPipeline(t.Context(), pipeline)).To(Succeed())
	scaler := kit.SampleScaler(app, kit.RequestsOfPods(20))
	scaler.Spec.Metrics = append(scaler.Spec.Metrics, cpuUsage())
	g.Expect(cluster.Apply(t.Context(), append(kit.SampleApp(app), scaler)...)).To(Succeed())

	ready(t, g, cluster)
	t.Logf("Ready after %.0f s", time.Since(start).Seconds())
	for _, metric := range []string{"http_requests_per_second", "cpu_usage"} {
		g.Eventually(func(g Gomega) { g.Expect(values(t.Context(), cluster, metric)).To(BeNumerically(">", 0)) }, comesUp, often).Should(Succeed())
		t.Logf("%s after %.0f s", metric, time.Since(start).Seconds())
	}
	g.Expect(cluster.Steer(t.Context(), app, "/load?rps=200")).To(Succeed())
	g.Eventually(func(g Gomega) {
		found := &appsv1.Deployment{}
		g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: kit.SampleNamespace, Name: app}, found)).To(Succeed())
		g.Expect(found.Status.Replicas).To(BeEquivalentTo(kit.SampleMaxReplicas))
	}, comesUp, often).Should(Succeed())
	t.Logf("%d pods after %.0f s", kit.SampleMaxReplicas, time.Since(start).Seconds())
	ready(t, g, cluster)
	goesOn(t, g, cluster, pipeline)
	refuses(t, g, cluster)
	scrapesUs(t, g, cluster)
	explains(t, g, cluster)

	g.Expect(cluster.DeletePipeline(t.Context())).To(Succeed(), "nothing is left")
	g.Expect(cluster.Delete(t.Context(), kit.SampleNamespaceObjects()[0])).To(Succeed())
	g.Expect(cluster.UninstallOperator(t.Context())).To(Succeed())
}

// cpuUsage is a metric that nobody wrote a rule for, of the kubelets.
func cpuUsage() autoscalingv2.MetricSpec {
	metric := kit.RequestsOfPods(10)
	metric.Pods.Metric.Name = "cpu_usage"
	return metric
}

func ready(t *testing.T, g *WithT, cluster *kit.Cluster) {
	t.Helper()
	g.Eventually(func(g Gomega) {
		pipeline, err := cluster.Pipeline(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		condition := apimeta.FindStatusCondition(pipeline.Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(kit.IsReady(pipeline)).To(BeTrue(), "%+v", condition)
		g.Expect(pipeline.Status.Prometheus).To(HaveValue(HaveField("Origin", "spec.prometheus.managed")))
		g.Expect(kit.Component(pipeline, "managed-prometheus")).To(HaveValue(HaveField("Ready", BeEquivalentTo(1))))
	}, comesUp, often).Should(Succeed())
}

// values returns how many pods have a metric.
func values(ctx context.Context, cluster *kit.Cluster, metric string) (int, error) {
	content, err := cluster.Get(ctx,
		fmt.Sprintf("/apis/custom.metrics.k8s.io/v1beta2/namespaces/%s/pods/*/%s", kit.SampleNamespace, metric))
	if err != nil {
		return 0, err
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	err = json.Unmarshal(content, &list)
	return len(list.Items), err
}

var forwarding = regexp.MustCompile(`Forwarding from 127\.0\.0\.1:(\d+)`)

// refuses: a request without the token gets 401, and one that trusts another authority no connection. Who has the token of its
// ServiceAccount reads no Secret.
func refuses(t *testing.T, g *WithT, cluster *kit.Cluster) {
	t.Helper()
	for resource, want := range map[string]string{"endpointslices.discovery.k8s.io": "yes", "secrets": "no", "configmaps": "no",
		"customresourcedefinitions.apiextensions.k8s.io": "no"} {
		answer, _ := cluster.Kubectl(t.Context(), "auth", "can-i", "list", resource, "--all-namespaces", // It fails where the answer is no.
			"--as=system:serviceaccount:"+kit.OperatorNamespace+":managed-prometheus")
		g.Expect(strings.TrimSpace(answer)).To(Equal(want), "list %s", resource)
	}
	p := connect(t, g, cluster)
	for password, want := range map[string]int{p.password: http.StatusOK, "": http.StatusUnauthorized, "another": http.StatusUnauthorized} {
		status, _, err := p.query(t.Context(), p.authority, password, "up")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(status).To(Equal(want))
	}
	_, _, err := p.query(t.Context(), nil, p.password, "up")
	g.Expect(err).To(MatchError(ContainSubstring("certificate signed by unknown authority")))
}

// scrapesUs: the operator and its components are targets, each of their pods, and all of them answer.
func scrapesUs(t *testing.T, g *WithT, cluster *kit.Cluster) {
	t.Helper()
	p := connect(t, g, cluster)
	g.Eventually(func(g Gomega) {
		_, found, err := p.query(t.Context(), p.authority, p.password, `sum by (job) (up{namespace="`+kit.OperatorNamespace+`"})`)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(Equal(map[string]string{"metrics-server": "2", "metricspipeline-operator-metrics": "2", "prometheus-adapter": "2"}))
	}, comesUp, often).Should(Succeed())
	_, samples, err := p.query(t.Context(), p.authority, p.password, `max by (job) (scrape_samples_post_metric_relabeling)`)
	g.Expect(err).NotTo(HaveOccurred())
	t.Logf("samples of a target of each job: %v", samples)
}

// reached is the Prometheus of the operator behind a forwarded port.
type reached struct {
	port, password string
	authority      []byte
}

// connect forwards a port to it for the rest of the test.
func connect(t *testing.T, g *WithT, cluster *kit.Cluster) reached {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	forward := exec.CommandContext(ctx, "kubectl", "-n", kit.OperatorNamespace, "port-forward", "deploy/managed-prometheus", ":9090")
	out, err := forward.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(forward.Start()).To(Succeed())
	t.Cleanup(func() { cancel(); _ = forward.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	g.Expect(err).NotTo(HaveOccurred())
	port := forwarding.FindStringSubmatch(line)
	g.Expect(port).NotTo(BeNil(), line)

	serving, access := &corev1.Secret{}, &corev1.Secret{}
	for name, into := range map[string]*corev1.Secret{"managed-prometheus-tls": serving, "managed-prometheus-access": access} {
		g.Expect(cluster.Client.Get(ctx, client.ObjectKey{Namespace: kit.OperatorNamespace, Name: name}, into)).To(Succeed())
	}
	return reached{port: port[1], password: string(access.Data["password"]), authority: serving.Data["ca.crt"]}
}

// query returns the status of the answer and, where that is OK, the values by the label job.
func (p reached) query(ctx context.Context, authority []byte, password, query string) (int, map[string]string, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12,
		ServerName: "managed-prometheus." + kit.OperatorNamespace + ".svc"}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"https://127.0.0.1:"+p.port+"/api/v1/query?query="+url.QueryEscape(query), http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	if password != "" {
		request.SetBasicAuth("metricspipeline", password)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, nil, nil
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string `json:"metric"`
				Value  [2]any            `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	values := map[string]string{}
	for _, series := range answer.Data.Result {
		values[series.Metric["job"]] = fmt.Sprint(series.Value[1])
	}
	return response.StatusCode, values, err
}

// explains: the kubectl plugin asks this Prometheus by a forwarded port, with the token that the person may read, and finds what is wrong
// with an HPA. Who may not is told which right is missing.
func explains(t *testing.T, g *WithT, cluster *kit.Cluster) {
	t.Helper()
	const viewer, broken, unseen = "bare-viewer", 1, 2
	failing := kit.RequestsOfPods(20)
	failing.Pods.Metric.Name = "nothing_per_second"
	g.Expect(cluster.Apply(t.Context(), kit.SampleScaler(app, failing))).To(Succeed())
	why := func(code int, flags ...string) string {
		program := filepath.Join(cluster.Root, "bin", "kubectl-metricspipeline")
		var out []byte
		g.Eventually(func() int {
			command := exec.CommandContext(t.Context(), program, append([]string{"why", "hpa/" + app, "-n", kit.SampleNamespace}, flags...)...)
			out, _ = command.CombinedOutput()
			if strings.Contains(string(out), v1alpha1.AutoscalerPodsStarting) {
				return -1
			}
			return command.ProcessState.ExitCode()
		}, comesUp, time.Second).Should(Equal(code), func() string { return string(out) })
		t.Logf("%s\n%s", strings.Join(flags, " "), out)
		return string(out)
	}
	g.Expect(why(broken)).To(SatisfyAll(ContainSubstring(v1alpha1.AutoscalerRuleMissing), ContainSubstring("✓ Scrape")))

	subject := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: viewer}}
	sees := func(role string) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: viewer + "-" + role}, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}}
	}
	token := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: viewer},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"},
			ResourceNames: []string{"managed-prometheus-access"}}}}
	bound := &rbacv1.RoleBinding{ObjectMeta: token.ObjectMeta, Subjects: subject,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: viewer}}
	rights := []client.Object{sees("view"), sees("metricspipeline-viewer"), token, bound}
	defer func() { g.Expect(cluster.Delete(t.Context(), rights...)).To(Succeed()) }()
	g.Expect(cluster.Apply(t.Context(), rights[:2]...)).To(Succeed())
	g.Expect(why(unseen, "--as", viewer)).To(ContainSubstring(`cannot get resource "secrets"`))
	g.Expect(cluster.Apply(t.Context(), rights[2:]...)).To(Succeed())
	g.Eventually(func() string { return why(unseen, "--as", viewer) }, comesUp).Should(
		ContainSubstring(`cannot create resource "pods/portforward"`))
	token.Rules = append(token.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/portforward"},
		Verbs: []string{"create"}})
	g.Expect(cluster.Apply(t.Context(), token)).To(Succeed())
	g.Expect(why(broken, "--as", viewer)).To(ContainSubstring(v1alpha1.AutoscalerRuleMissing))
}
