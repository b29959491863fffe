// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cli"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// explainsByCommandLine: what the status and the Events of the story say, the kubectl plugin finds by itself, live. Who may view the
// namespace alone sees part of the chain, and what the operator said.
func (w *world) explainsByCommandLine() {
	w.t.Helper()
	w.Expect(w.plugin(cli.ExitWorks, "status")).To(ContainSubstring("autoscalers  0 of 2 work"))
	w.Expect(w.plugin(cli.ExitBroken, "why", "hpa/cpu", "-n", "scaled")).To(SatisfyAll(
		ContainSubstring("✓ Target"), ContainSubstring("✗ Pods"), ContainSubstring("Resource cpu: "+v1alpha1.AutoscalerRequestsMissing)))
	w.Expect(w.plugin(cli.ExitBroken, "why", "hpa/queue", "-n", "scaled")).To(SatisfyAll(
		ContainSubstring("✗ API"), ContainSubstring("External queue_length: "+v1alpha1.AutoscalerAPIDisabled)))
	w.Expect(w.plugin(cli.ExitBroken, "why", "hpa", "--all-namespaces")).To(SatisfyAll(
		MatchRegexp("scaled +cpu +Fails +Resource cpu +"+v1alpha1.AutoscalerRequestsMissing),
		MatchRegexp("scaled +queue +Fails +External queue_length +"+v1alpha1.AutoscalerAPIDisabled)))

	// The rules of the ClusterRole view are put together by a controller that no envtest has.
	w.make(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "scaled", Name: "viewer"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:aggregate-to-view"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "viewer"}}})
	w.Eventually(func() string {
		return w.plugin(cli.ExitUnseen, "why", "hpa/queue", "-n", "scaled", "--as", "viewer")
	}).Should(SatisfyAll(ContainSubstring("✓ Target"), ContainSubstring("? API"), ContainSubstring(`User "viewer" cannot get resource`),
		MatchRegexp("The operator said .* ago, "+v1alpha1.AutoscalerAPIDisabled)))

	report := filepath.Join(w.t.TempDir(), "report.tar.gz")
	w.Expect(w.plugin(cli.ExitWorks, "report", "-f", report, "--operator-namespace", harness.OperatorNamespace)).To(SatisfyAll(
		ContainSubstring("metricspipeline.yaml"), ContainSubstring("deployments/metrics-server.yaml"), ContainSubstring("counts.txt")))
	content, err := os.ReadFile(report)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(unpacked(w, content)).To(SatisfyAll(ContainSubstring("HorizontalPodAutoscaler  2\n"), ContainSubstring("kind: MetricsPipeline"),
		Not(ContainSubstring("PRIVATE KEY")), Not(ContainSubstring("scaled/"))))
}

// plugin runs the kubectl plugin as an administrator and returns what it prints; it has to end with this exit code.
func (w *world) plugin(code int, arguments ...string) string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "kubeconfig")
	w.Expect(os.WriteFile(file, w.Kubeconfig(), 0o600)).To(Succeed())
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	got := cli.Main(w.t.Context(), "test", append(arguments, "--kubeconfig", file), streams)
	w.Expect(got).To(Equal(code), "%v\n%s%s", arguments, out, errOut)
	return out.String()
}

// unpacked is all that a .tar.gz has.
func unpacked(w *world, content []byte) string {
	w.t.Helper()
	compressed, err := gzip.NewReader(bytes.NewReader(content))
	w.Expect(err).NotTo(HaveOccurred())
	var all bytes.Buffer
	for reader := tar.NewReader(compressed); ; {
		if _, err := reader.Next(); errors.Is(err, io.EOF) {
			return all.String()
		} else if err != nil {
			w.Expect(err).NotTo(HaveOccurred())
		}
		_, err := io.Copy(&all, reader) //nolint:gosec // an archive of this test
		w.Expect(err).NotTo(HaveOccurred())
	}
}
