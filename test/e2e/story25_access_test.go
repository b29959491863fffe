// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// guarded is the namespace, and the name, of a Prometheus behind basic auth with a certificate for guardedName.
	guarded     = "metricspipeline-guarded"
	guardedName = "prometheus.internal"
	// guardedPassword is stored as files have it, and guardedHash is its bcrypt hash.
	guardedPassword = "s3cret"
	guardedHash     = "$2a$04$YCIJKIGtnT4N/Tf/dJ7jceYdyOX6aVg/OYXR8GFdpeKiGRoB7Q4xq"
	guardedTenant   = "team-of-story-24"
)

// TestAPrometheusBehindBasicAuthAndTLS is queried with a user, by a certificate for another name than its host and with a header, by the
// operator and the adapter alike: its numbers are served, a changed URL reaches the adapter, and no pod shows the password.
func TestAPrometheusBehindBasicAuthAndTLS(t *testing.T) {
	g := story(t)
	pipeline, err := cluster.QuickSample()
	g.Expect(err).NotTo(HaveOccurred())
	without := pipeline.DeepCopy()
	cert, key := certificateFor(t, guardedName)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: kit.OperatorNamespace, Name: "guarded"}, Data: map[string][]byte{
		"username": []byte("admin\n"), "password": []byte(guardedPassword + "\n"), "tenant": []byte(guardedTenant + "\n"), "ca.crt": cert}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), rollout)
		defer cancel()
		g.Expect(cluster.ApplyPipeline(ctx, without)).To(Succeed())
		g.Expect(cluster.Delete(ctx, secret, kit.Namespace(guarded))).To(Succeed())
	})
	g.Expect(cluster.Apply(t.Context(), append(guardedPrometheus(t, g, cert, key), secret)...)).To(Succeed())

	pipeline.Spec.Prometheus = v1alpha1.PrometheusSpec{URL: fmt.Sprintf("https://%s.%s.svc:9090", guarded, guarded)}
	pipeline.Spec.CustomMetrics.Rules = nil
	whenApplied(t, pipeline)
	g.Eventually(func(g Gomega) {
		ready := apimeta.FindStatusCondition(thePipeline(t, g).Status.Conditions, v1alpha1.ConditionPrometheusReady)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Message).To(ContainSubstring("set spec.prometheus.tls.serverName to a name that it is valid for"))
	}, rollout, often).Should(Succeed())

	of := func(key string) v1alpha1.KeyReference { return v1alpha1.KeyReference{Name: secret.Name, Key: key} }
	authority := of("ca.crt")
	pipeline.Spec.Prometheus.TLS = &v1alpha1.ClientTLS{CA: &v1alpha1.CertificateAuthority{Secret: &authority}, ServerName: guardedName}
	whenApplied(t, pipeline)
	condition := thenCondition(t, soon, v1alpha1.ConditionPrometheusReady, metav1.ConditionFalse, v1alpha1.ReasonUnauthorized)
	g.Expect(condition.Message).To(ContainSubstring("set spec.prometheus.auth.basicAuth"))

	pipeline.Spec.Prometheus.Auth = &v1alpha1.PrometheusAuth{BasicAuth: &v1alpha1.BasicAuth{Username: of("username"), Password: of("password")},
		Headers: []v1alpha1.PrometheusHeader{{Name: "X-Scope-OrgID", Secret: of("tenant")}}}
	givenPipeline(t, pipeline)
	thenServed(t, queueDepth, rollout)
	thenCondition(t, soon, v1alpha1.ConditionPrometheusReady, metav1.ConditionTrue, v1alpha1.ReasonReachable)

	pipeline.Spec.Prometheus.URL = fmt.Sprintf("https://%s.%s.svc.cluster.local:9090", guarded, guarded)
	givenPipeline(t, pipeline)
	g.Eventually(func(g Gomega) {
		found := deployment(t, g, adapterName)
		g.Expect(found.Spec.Template.Spec.Containers[0].Args).To(ContainElement("--prometheus-url=" + pipeline.Spec.Prometheus.URL))
		g.Expect(found).To(Satisfy(kit.RolledOut))
	}, rollout, often).Should(Succeed())
	thenServed(t, queueDepth, soon)
	for _, pod := range podsOf(t, g, deployment(t, g, adapterName)) {
		g.Expect(fmt.Sprint(pod.Spec.Containers)).NotTo(ContainSubstring(guardedPassword))
		g.Expect(fmt.Sprint(pod.Spec.Containers)).NotTo(ContainSubstring(guardedTenant))
	}
	if kit.HasTestCluster() { // Its processes are this machine's.
		commands := commandsOf(t, g, "--prometheus-header=")
		g.Expect(commands).NotTo(BeEmpty())
		for _, command := range commands {
			g.Expect(command).To(ContainSubstring("--prometheus-header=X-Scope-OrgID=" + guardedTenant + "\x00"))
			g.Expect(command).NotTo(ContainSubstring(guardedPassword))
		}
	}
}

// guardedPrometheus is a Prometheus that makes up a queue, with a Service that is named otherwise than its certificate.
func guardedPrometheus(t *testing.T, g Gomega, cert, key []byte) []client.Object {
	t.Helper()
	running := &appsv1.StatefulSet{}
	g.Expect(cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: "monitoring", Name: "prometheus-k8s"}, running)).To(Succeed())
	object := metav1.ObjectMeta{Namespace: guarded, Name: guarded}
	labels := map[string]string{"app.kubernetes.io/name": guarded}
	pod := kit.SamplePod()
	for _, container := range running.Spec.Template.Spec.Containers {
		if container.Name == "prometheus" {
			pod.Containers[0].Image = container.Image
		}
	}
	pod.Containers[0].Args = []string{"--config.file=/etc/guarded/prometheus.yml", "--web.config.file=/etc/guarded/web.yml", "--storage.tsdb.path=/data"}
	pod.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 9090}}
	pod.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
		TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("http")}}}
	pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: "/etc/guarded"}, {Name: "data", MountPath: "/data"}}
	pod.Volumes = []corev1.Volume{
		{Name: "config", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: guarded}}},
		{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	return []client.Object{
		kit.Namespace(guarded),
		&corev1.Secret{ObjectMeta: object, Data: map[string][]byte{
			"prometheus.yml": []byte("global: {evaluation_interval: 1s}\nrule_files: [/etc/guarded/rules.yml]\n"),
			"rules.yml": []byte("groups: [{name: queue, rules: [{record: queue_depth, expr: vector(7), labels: {namespace: " +
				kit.SampleNamespace + ", queue: orders}}]}]\n"),
			"web.yml": []byte("tls_server_config: {cert_file: /etc/guarded/tls.crt, key_file: /etc/guarded/tls.key}\n" +
				"basic_auth_users: {admin: " + guardedHash + "}\n"),
			"tls.crt": cert, "tls.key": key}},
		&appsv1.Deployment{ObjectMeta: object, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod}}},
		&corev1.Service{ObjectMeta: object, Spec: corev1.ServiceSpec{Selector: labels,
			Ports: []corev1.ServicePort{{Name: "http", Port: 9090, TargetPort: intstr.FromString("http")}}}},
	}
}

// certificateFor returns a certificate that is its own authority.
func certificateFor(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	g := NewWithT(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	g.Expect(err).NotTo(HaveOccurred())
	content, err := x509.MarshalPKCS8PrivateKey(private)
	g.Expect(err).NotTo(HaveOccurred())
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: content})
}

// commandsOf are the command lines of this machine's processes that have an argument.
func commandsOf(t *testing.T, g Gomega, argument string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	g.Expect(err).NotTo(HaveOccurred())
	var commands []string
	for _, file := range files {
		command, err := os.ReadFile(file)
		if err == nil && bytes.Contains(command, []byte(argument)) { // Others end meanwhile.
			commands = append(commands, string(command))
		}
	}
	return commands
}
