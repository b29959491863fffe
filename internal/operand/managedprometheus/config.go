// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package managedprometheus

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

const (
	// configFile is the key of its ConfigMap, and where pods find what they mount.
	configFile = "prometheus.yaml"
	tlsPath    = "/etc/prometheus/tls"
	accessPath = "/etc/prometheus/access"
	// Keys of the Secret that it reads beside the token.
	webKey, clientKey, scrapeKey = "web.yaml", "client.yaml", "scrape.yaml"
	// account is where a pod finds what it is known by to the API server.
	account = "/var/run/secrets/kubernetes.io/serviceaccount"
	// authorityField is where the spec names who signs the kubelets' certificates, and kubeletCA where pods find that.
	authorityField = "metricsServer.kubelet.tls.ca"
	kubeletCA      = "/etc/prometheus/kubelet-ca"
	authorityFile  = "ca.crt"

	// What a kubelet may answer with: more than the largest node has after metricRelabeling.
	mostKubeletBytes, mostKubeletSamples = "256MB", 100_000
)

// What is kept of the kubelets' metrics: what autoscalers and the usual rules query. Their memory is most of what a cluster without apps
// costs.
const (
	ofContainers = "container_(cpu_usage_seconds_total|cpu_cfs_periods_total|cpu_cfs_throttled_periods_total|memory_working_set_bytes|" +
		"memory_rss|memory_usage_bytes|fs_reads_bytes_total|fs_writes_bytes_total|network_receive_bytes_total|network_transmit_bytes_total)"
	ofNodes  = "(node|pod)_(cpu_usage_seconds_total|memory_working_set_bytes)|(resource_)?scrape_error"
	ofItself = "prometheus_(build_info|config_last_reload_.*|tsdb_head_(series|samples_appended_total))|process_(resident_memory_bytes|" +
		"cpu_seconds_total)"
)

// fields are an object of Prometheus' configuration.
type fields = map[string]any

// config is the main configuration of the Deployment. What annotated apps are scraped by is in files of its own.
func config(in operand.Input) (string, error) {
	ours, err := components(in)
	if err != nil {
		return "", err
	}
	var jobs []any
	for _, job := range append(kubelets(in, tlsOfKubelets(in, kubeletCA+"/"+authorityFile)), itself(in)) {
		jobs = append(jobs, job)
	}
	for _, job := range ours {
		jobs = append(jobs, job)
	}
	interval := model.Duration(in.Spec.Prometheus.Managed.ScrapeInterval.Or(defaultInterval)).String()
	global := fields{"scrape_interval": interval, "scrape_timeout": timeout(in)}
	config := fields{"global": global, "scrape_config_files": shards(), "scrape_configs": jobs}
	if stores := remoteWrites(in.Spec.Prometheus.Managed); len(stores) > 0 {
		config["remote_write"], global["external_labels"] = stores, sender(in.Facts.Namespace)
	}
	return write(config)
}

// shards are the files of annotated apps: Prometheus takes one asterisk, at the end of a path.
func shards() []string {
	var all []string
	for shard := range prometheus.Shards {
		all = append(all, fmt.Sprintf("/etc/prometheus/scrape/%d/*.yaml", shard))
	}
	return all
}

// timeout is Prometheus' default, which must not be longer than the interval.
func timeout(in operand.Input) string {
	return model.Duration(min(10*time.Second, in.Spec.Prometheus.Managed.ScrapeInterval.Or(defaultInterval))).String()
}

// kubelets are the jobs of the kubelets' metrics of containers and of nodes. Both have metrics of one name, which a query would count
// twice: of the second only what the first has not is kept.
func kubelets(in operand.Input, tls fields) []fields {
	job := func(name, path string, relabelings ...fields) fields {
		replaced := []fields{{"source_labels": []string{"__meta_kubernetes_node_name"}, "target_label": "node"}}
		if port := in.Spec.MetricsServer.Kubelet.Port; port != 0 {
			replaced = append(replaced, fields{"source_labels": []string{"__address__"}, "target_label": "__address__",
				"regex": `(.+):\d+`, "replacement": fmt.Sprintf("$1:%d", port)})
		}
		return fields{
			"job_name": name, "scheme": "https", "metrics_path": path, "follow_redirects": false,
			"kubernetes_sd_configs": []fields{{"role": "node"}},
			"authorization":         fields{"credentials_file": account + "/token"},
			"tls_config":            tls,
			// The kubelet says when it measured, and a container that is gone is stale at once.
			"track_timestamps_staleness": true,
			"body_size_limit":            mostKubeletBytes, "sample_limit": mostKubeletSamples,
			"relabel_configs": replaced, "metric_relabel_configs": relabelings,
		}
	}
	return []fields{
		job("kubelet-cadvisor", "/metrics/cadvisor", keep("__name__", ofContainers),
			// A cgroup above pods, and the sum of a pod beside its containers, which a sum by pod would count twice.
			fields{"source_labels": []string{"pod"}, "regex": "", "action": "drop"},
			fields{"source_labels": []string{"__name__", "container"}, "regex": "container_(cpu|memory|fs)_.*;", "action": "drop"},
			fields{"regex": "image|name", "action": "labeldrop"}),
		job(prometheus.ResourceJob, "/metrics/resource", keep("__name__", ofNodes)),
	}
}

func keep(label, regex string) fields {
	return fields{"source_labels": []string{label}, "regex": regex, "action": "keep"}
}

// tlsOfKubelets is how the kubelets are verified: as metrics-server does.
func tlsOfKubelets(in operand.Input, file string) fields {
	switch tls := in.Spec.MetricsServer.Kubelet.TLS; {
	case tls.Verification == v1alpha1.TLSInsecure:
		return fields{"insecure_skip_verify": true}
	case tls.CA != nil:
		return fields{"ca_file": file}
	default:
		return fields{"ca_file": account + "/ca.crt"}
	}
}

// itself is the job of its own metrics, by which it is known whether it has taken up its configuration.
func itself(in operand.Input) fields {
	return fields{
		"job_name": Name, "scheme": "https",
		"static_configs":         []fields{{"targets": []string{"localhost:9090"}}},
		"basic_auth":             fields{"username": prometheus.ManagedUser, "password_file": accessPath + "/" + cluster.TokenKey},
		"tls_config":             fields{"ca_file": tlsPath + "/ca.crt", "server_name": in.Facts.Prometheus.Managed.ServerName()},
		"metric_relabel_configs": []fields{keep("__name__", ofItself)},
	}
}

// accessData is what it reads from a Secret: the Deployment its token, and the Prometheus object what no field of it can say. nil while the
// token is not known.
func accessData(in operand.Input) (map[string][]byte, error) {
	p := in.Facts.Prometheus
	if !p.Managed.Plain {
		if in.Spec.Prometheus.Managed == nil {
			return nil, nil // As it is.
		}
		content, err := write(kubelets(in, tlsOfKubelets(in, mountedAuthority(in))))
		return map[string][]byte{scrapeKey: []byte(content)}, err
	}
	if p.Token.Value == "" {
		return nil, nil
	}
	web, err := write(fields{
		"tls_server_config": fields{"cert_file": tlsPath + "/tls.crt", "key_file": tlsPath + "/tls.key", "min_version": "TLS12"},
		"basic_auth_users":  fields{prometheus.ManagedUser: p.Token.Hash},
	})
	if err != nil {
		return nil, err
	}
	client, err := write(fields{
		"basic_auth": fields{"username": prometheus.ManagedUser, "password": p.Token.Value},
		"tls_config": fields{"ca_file": tlsPath + "/ca.crt", "server_name": p.Managed.ServerName()},
	})
	data := map[string][]byte{webKey: []byte(web), clientKey: []byte(client),
		cluster.TokenKey: []byte(p.Token.Value), cluster.TokenHashKey: []byte(p.Token.Hash)}
	if len(p.Access.CA) > 0 {
		data[cluster.AuthorityKey] = p.Access.CA
	}
	return data, err
}

func write(content any) (string, error) {
	written, err := yaml.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("write the configuration of %s: %w", Name, err)
	}
	return string(written), nil
}
