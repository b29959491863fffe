// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheusadapter

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

const (
	// accessPath is where the adapter finds what spec.prometheus names, and accessSecret has what the operator writes for it.
	accessPath   = "/etc/prometheus"
	accessSecret = Name + "-access"
	// kubeconfigKey is the key of that Secret with what no file of a user can say, and the keys of headers begin with headerKey.
	kubeconfigKey = "kubeconfig"
	headerKey     = "header-"
	// headerVariable begins the names of the variables from which the adapter's arguments take the values of headers.
	headerVariable = "PROMETHEUS_HEADER_"
	// The adapter's flags for the URL of Prometheus, and for the method of queries, which is GET without it.
	sourceFlag = "--prometheus-url="
	verbFlag   = "--prometheus-verb="
)

// adapterURL is where the adapter queries.
func adapterURL(in operand.Input) string {
	return cmp.Or(in.Spec.Prometheus.AdapterURL, in.Facts.Prometheus.Target.URL)
}

// sourceArgs are the arguments that say where the adapter queries and by which method.
func sourceArgs(in operand.Input) []string {
	args := []string{sourceFlag + adapterURL(in)}
	if in.Spec.Prometheus.QueryMethod == v1alpha1.QueryPOST {
		args = append(args, verbFlag+string(v1alpha1.QueryPOST))
	}
	return args
}

// access gives the adapter what it presents to Prometheus and verifies it by. Its flags for files of the user's are used where they
// suffice, so that no pod of an earlier release is replaced. They know no basic auth, no other name and no unverified certificate, use
// a client certificate only together with an authority, and send a token with the line break at its end, which no request may have: then
// all of it is in a kubeconfig, which the adapter reads only where none of these files is set.
func access(d *operand.Deployment, in operand.Input) {
	if byKubeconfig(in) {
		volume := secretVolume("prometheus-access", accessSecret)
		volume.Secret.Items = []corev1.KeyToPath{{Key: kubeconfigKey, Path: kubeconfigKey}}
		d.Mount(volume, accessPath+"/access")
		d.Arg("--prometheus-auth-config=%s/access/%s", accessPath, kubeconfigKey)
	} else {
		files(d, in.Spec.Prometheus)
	}
	var variables []corev1.EnvVar
	for _, header := range in.Facts.Prometheus.Access.Headers {
		name := headerVariable + strings.ToUpper(strings.ReplaceAll(header.Name, "-", "_"))
		variables = append(variables, corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: accessSecret}, Key: headerKey + strings.ToLower(header.Name)}}})
		d.Arg("--prometheus-header=%s=$(%s)", header.Name, name)
	}
	d.Environment(variables)
}

// byKubeconfig is true where the adapter's flags for files do not suffice, or there is no file of a user's.
func byKubeconfig(in operand.Input) bool {
	access := in.Facts.Prometheus.Access
	return in.Facts.Prometheus.Target.Managed || len(access.Username) > 0 || access.ServerName != "" || access.Insecure ||
		len(access.ClientCert) > 0 && len(access.CA) == 0 || !bytes.Equal(access.Token, bytes.TrimSpace(access.Token))
}

// accessData is what the operator's Secret for the adapter has; nil where there is no need for one. It depends on nothing that the
// digest of the access does not.
func accessData(in operand.Input) (map[string][]byte, error) {
	data := map[string][]byte{}
	for _, header := range in.Facts.Prometheus.Access.Headers {
		data[headerKey+strings.ToLower(header.Name)] = []byte(prometheus.Text(header.Value))
	}
	if byKubeconfig(in) {
		config, err := kubeconfig(in.Facts.Prometheus.Access)
		if err != nil {
			return nil, err
		}
		data[kubeconfigKey] = config
	}
	if len(data) == 0 {
		return nil, nil
	}
	return data, nil
}

// kubeconfig is what the adapter reads for --prometheus-auth-config. It takes the URL from its flag, but the server must be there, and
// be https: client-go drops the credentials for another.
func kubeconfig(access prometheus.Access) ([]byte, error) {
	const name = "prometheus"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://prometheus", TLSServerName: access.ServerName,
		InsecureSkipTLSVerify: access.Insecure, CertificateAuthorityData: access.CA}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: string(bytes.TrimSpace(access.Token)),
		Username: prometheus.Text(access.Username), Password: prometheus.Text(access.Password),
		ClientCertificateData: access.ClientCert, ClientKeyData: access.ClientKey}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	content, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of Secret %s: %w", accessSecret, err)
	}
	return content, nil
}

// files mounts what spec.prometheus names as it is.
func files(d *operand.Deployment, spec v1alpha1.PrometheusSpec) {
	if spec.Auth != nil && spec.Auth.BearerToken != nil {
		token := spec.Auth.BearerToken
		d.Mount(secretVolume("prometheus-token", token.Name), accessPath+"/token")
		d.Arg("--prometheus-token-file=%s/token/%s", accessPath, token.Key)
	}
	if spec.TLS == nil {
		return
	}
	if authority := spec.TLS.CA; authority != nil && authority.Secret != nil {
		d.Mount(secretVolume("prometheus-ca", authority.Secret.Name), accessPath+"/ca")
		d.Arg("--prometheus-ca-file=%s/ca/%s", accessPath, authority.Secret.Key)
	} else if authority != nil && authority.ConfigMap != nil {
		d.Mount(corev1.Volume{Name: "prometheus-ca", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: authority.ConfigMap.Name}}}}, accessPath+"/ca")
		d.Arg("--prometheus-ca-file=%s/ca/%s", accessPath, authority.ConfigMap.Key)
	}
	if client := spec.TLS.ClientCert; client != nil {
		d.Mount(secretVolume("prometheus-client", client.Name), accessPath+"/client")
		d.Arg("--prometheus-client-tls-cert-file=%s/client/%s", accessPath, corev1.TLSCertKey)
		d.Arg("--prometheus-client-tls-key-file=%s/client/%s", accessPath, corev1.TLSPrivateKeyKey)
	}
}

func secretVolume(name, secret string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}
}

// accessFindings say what of the access weakens the metrics, or cannot be judged.
func accessFindings(in operand.Input) []operand.Finding {
	add := func(condition, format string, args ...any) operand.Finding {
		return operand.Finding{Condition: condition, Message: fmt.Sprintf(format, args...)}
	}
	var findings []operand.Finding
	if in.Facts.Prometheus.Access.Insecure {
		findings = append(findings, add(v1alpha1.ConditionPrometheusReady,
			"spec.prometheus.tls.verification is Insecure: nothing verifies that the numbers come from Prometheus."))
	}
	if base := in.Spec.Prometheus.AdapterURL; prometheus.Loopback(base) {
		findings = append(findings, add(v1alpha1.ConditionPrometheusReady, "The adapter queries spec.prometheus.adapterURL %s, in its own "+
			"pod: whether that answers cannot be judged from the operator's, and the log of %s says so.", base, Name))
	}
	if in.Spec.Prometheus.Dialect == v1alpha1.DialectMetricsQL {
		findings = append(findings, add(v1alpha1.ConditionRulesAccepted, "spec.prometheus.dialect is MetricsQL: the templates and the "+
			"structure of rules are checked, their queries are not."))
	}
	return findings
}
