// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestMetricsEndpoint: the program's /metrics answers those alone who may get it, over nothing but modern TLS.
func TestMetricsEndpoint(t *testing.T) {
	harness.NeedPodNetwork(t)
	g := NewWithT(t)
	const address = "127.0.0.1:18443"
	runManager(t, g, "--metrics-bind-address="+address, "--health-probe-bind-address=0")

	scraper, err := cluster.Token(t.Context(), "scraper", true)
	g.Expect(err).NotTo(HaveOccurred())
	stranger, err := cluster.Token(t.Context(), "stranger", false)
	g.Expect(err).NotTo(HaveOccurred())
	request := func(token string) func(Gomega) {
		return func(g Gomega) {
			code, body, err := harness.GetMetrics(t.Context(), address, token)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(code).To(Equal(http.StatusOK), body)
			g.Expect(body).To(ContainSubstring(`controller="metricspipeline"`))
		}
	}
	g.Eventually(request(scraper)).WithTimeout(soon).WithPolling(poll).Should(Succeed())
	for _, caller := range []struct {
		token string
		code  int
	}{
		{"", http.StatusUnauthorized},
		{"not-a-token", http.StatusInternalServerError}, // The filter's word for a token that the API server does not know.
		{stranger, http.StatusForbidden},
	} {
		code, body, err := harness.GetMetrics(t.Context(), address, caller.token)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(code).To(Equal(caller.code))
		g.Expect(body).NotTo(ContainSubstring("metricspipeline"))
	}

	for name, old := range map[string]*tls.Config{
		"TLS 1.1":              {MaxVersion: tls.VersionTLS11},
		"a suite without AEAD": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}},
	} {
		old.InsecureSkipVerify, old.MinVersion = true, tls.VersionTLS10
		_, err := (&tls.Dialer{Config: old}).DialContext(t.Context(), "tcp", address)
		g.Expect(err).To(MatchError(ContainSubstring("tls:")), name)
	}
}

// runManager builds cmd/manager and runs it with the rights of the operator until the story ends.
func runManager(t *testing.T, g Gomega, args ...string) {
	t.Helper()
	dir := t.TempDir()
	program, kubeconfig := filepath.Join(dir, "manager"), filepath.Join(dir, "kubeconfig")
	build, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/manager").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(build))
	content, err := cluster.OperatorKubeconfig()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(kubeconfig, content, 0o600)).To(Succeed())

	manager := exec.CommandContext(t.Context(), program,
		append(args, "--kubeconfig="+kubeconfig, "--namespace="+harness.OperatorNamespace)...)
	manager.Stdout, manager.Stderr = t.Output(), t.Output()
	manager.Cancel = func() error { return manager.Process.Signal(os.Interrupt) }
	manager.WaitDelay = 30 * time.Second
	g.Expect(manager.Start()).To(Succeed())
	// The context of a test ends before its clean-up begins.
	t.Cleanup(func() { _ = manager.Wait() })
}
