// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package olm

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	// soon is how long the story waits for what an event brings about. It is only reached by a test that fails.
	soon = 60 * time.Second
	poll = 50 * time.Millisecond

	olmNamespace = "olm"
	operatorName = "metricspipeline-operator"
	catalogName  = "catalog"
	groupName    = "group"
	catalogPort  = "50051"
)

var groupKind = schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v1", Kind: "OperatorGroup"}

// world is a cluster on which OLM runs.
type world struct {
	*harness.World
	Gomega
	t *testing.T
	// began is when the present step of the story did.
	began time.Time
}

// begin starts OLM on the control plane, and what stands for the nodes of the cluster.
func begin(t *testing.T) *world {
	t.Helper()
	harness.NeedPodNetwork(t)
	w := &world{World: harness.NewWorld(t, suite.Take(t)), Gomega: NewWithT(t), t: t, began: time.Now()}
	w.SetDefaultEventuallyTimeout(soon)
	w.SetDefaultEventuallyPollingInterval(poll)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	w.Expect(os.WriteFile(kubeconfig, w.Kubeconfig(), 0o600)).To(Succeed())
	for _, namespace := range []string{olmNamespace, harness.OperatorNamespace} {
		w.Expect(w.Client.Create(w.Ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())
	}
	w.program(nil, "kube-controller-manager", "--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--controllers=garbage-collector-controller,clusterrole-aggregation-controller")
	w.program([]string{"KUBECONFIG=" + kubeconfig}, "olm", "--namespace="+olmNamespace)
	w.program(nil, "catalog", "--kubeconfig="+kubeconfig, "--namespace="+olmNamespace)
	pods, err := w.StartPods(w.Ctx)
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(pods.Stop)
	startNode(t, w.Cluster, harness.OperatorNamespace)
	return w
}

// step begins a step of the story.
func (w *world) step(name string) {
	w.t.Helper()
	w.t.Logf("%s, %.1f s after the step before", name, time.Since(w.began).Seconds())
	w.began = time.Now()
}

func (w *world) program(env []string, name string, args ...string) {
	w.t.Helper()
	_, err := harness.StartProgram(w.Ctx, w.t, env, harness.Asset(name), args...)
	w.Expect(err).NotTo(HaveOccurred())
}

// serve serves a catalog of the bundles, the oldest first.
func (w *world) serve(bundles ...*bundle) {
	w.t.Helper()
	dir, files := w.t.TempDir(), w.t.TempDir()
	w.Expect(writeCatalog(dir, bundles...)).To(Succeed())
	w.program(nil, "opm", "serve", dir, "--port="+catalogPort, "--cache-enforce-integrity=false", "--pprof-addr=",
		"--termination-log="+filepath.Join(files, "termination"))
	address := net.JoinHostPort("127.0.0.1", catalogPort)
	// OLM would try again only after a while.
	w.Eventually(func() error {
		connection, err := (&net.Dialer{}).DialContext(w.Ctx, "tcp", address)
		if err == nil {
			err = connection.Close()
		}
		return err
	}).Should(Succeed())
	w.create("operators.coreos.com/v1alpha1", "CatalogSource", catalogName, map[string]any{"sourceType": "grpc", "address": address})
}

// create makes an object in the operator's namespace.
func (w *world) create(apiVersion, kind, name string, spec map[string]any) {
	w.t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "spec": spec,
		"metadata": map[string]any{"namespace": harness.OperatorNamespace, "name": name}}}
	w.Expect(w.Client.Create(w.Ctx, object)).To(Succeed())
}

// delete deletes an object of the operator's namespace.
func (w *world) delete(kind schema.GroupVersionKind, name string) {
	w.t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	object.SetNamespace(harness.OperatorNamespace)
	object.SetName(name)
	w.Expect(w.Client.Delete(w.Ctx, object)).To(Succeed())
}

func olmKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v1alpha1", Kind: kind}
}

// group has OLM install for all namespaces, or for the operator's own, and waits for the ClusterRoles that OLM makes for the group: they
// come and go with that, not with the operator.
func (w *world) group(targets ...any) {
	w.t.Helper()
	w.create(groupKind.GroupVersion().String(), groupKind.Kind, groupName, map[string]any{"targetNamespaces": targets})
	w.Eventually(func(g Gomega) {
		roles := &rbacv1.ClusterRoleList{}
		g.Expect(w.Client.List(w.Ctx, roles)).To(Succeed())
		for _, role := range []string{"admin", "edit", "view"} {
			g.Expect(roles.Items).To(ContainElement(HaveField("Name", HavePrefix("olm.og."+groupName+"."+role+"-"))))
		}
	}).Should(Succeed())
}

// subscribe subscribes to the package.
func (w *world) subscribe(approval string, first *bundle) {
	w.t.Helper()
	w.create("operators.coreos.com/v1alpha1", "Subscription", packageName, map[string]any{
		"source": catalogName, "sourceNamespace": harness.OperatorNamespace, "name": packageName, "channel": channel,
		"installPlanApproval": approval, "startingCSV": first.csv.GetName(),
	})
}

// approve waits until OLM wants the installation of a bundle to be approved, and does so, as a person does.
func (w *world) approve(b *bundle) {
	w.t.Helper()
	w.Eventually(func(g Gomega) {
		subscription := w.get(olmKind("Subscription"), packageName)
		name, _, _ := unstructured.NestedString(subscription.Object, "status", "installPlanRef", "name")
		g.Expect(name).NotTo(BeEmpty(), "status.installPlanRef of the Subscription")
		plan := w.get(olmKind("InstallPlan"), name)
		names, _, _ := unstructured.NestedStringSlice(plan.Object, "spec", "clusterServiceVersionNames")
		g.Expect(names).To(ConsistOf(b.csv.GetName()))
		// An edit before OLM has written this makes it start again with another one.
		phase, _, _ := unstructured.NestedString(plan.Object, "status", "phase")
		g.Expect(phase).To(Equal("RequiresApproval"))
		g.Expect(unstructured.SetNestedField(plan.Object, true, "spec", "approved")).To(Succeed())
		g.Expect(w.Client.Update(w.Ctx, plan)).To(Succeed())
	}).Should(Succeed())
}

// get returns an object of the operator's namespace, empty where there is none.
func (w *world) get(kind schema.GroupVersionKind, name string) *unstructured.Unstructured {
	w.t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	err := w.Client.Get(w.Ctx, harness.InOperatorNamespace(name), object)
	w.Expect(client.IgnoreNotFound(err)).To(Succeed())
	return object
}

// succeeds waits until the bundle is installed.
func (w *world) succeeds(b *bundle) {
	w.t.Helper()
	start := time.Now()
	w.Eventually(func() string {
		status, _, _ := unstructured.NestedMap(w.get(olmKind(csvKind), b.csv.GetName()).Object, "status")
		return fmt.Sprint(status["phase"], ": ", status["message"])
	}).Should(HavePrefix("Succeeded: "))
	w.t.Logf("%s Succeeded after another %.1f s", b.csv.GetName(), time.Since(start).Seconds())
}

// gone waits until an object of the operator's namespace is deleted.
func (w *world) gone(kind schema.GroupVersionKind, name string) {
	w.t.Helper()
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	w.Eventually(func() error {
		return w.Client.Get(w.Ctx, harness.InOperatorNamespace(name), object)
	}).Should(MatchError(ContainSubstring("not found")))
}
