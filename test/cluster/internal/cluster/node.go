package cluster

import (
	"context"
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
	"github.com/metricspipeline/operator/test/cluster/internal/images"
	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

//go:embed containerd.toml
var containerdConfig string

// startContainerd starts the container runtime with the pod network's configuration. It returns when it answers.
func (s *starter) startContainerd(ctx context.Context) error {
	if err := s.configureCNI(); err != nil {
		return err
	}
	config, err := s.configureContainerd()
	if err != nil {
		return err
	}
	path, err := exec.LookPath("containerd")
	if err != nil {
		return err
	}
	if err := s.startSpec(machine.Spec{Name: "containerd", Path: path, Args: []string{"--config", config}}); err != nil {
		return err
	}
	return s.wait(ctx, "containerd", func(ctx context.Context) error {
		// A request of the version also needs the plugins behind the socket.
		return exec.CommandContext(ctx, "ctr", "--address", s.containerdSocket(), "--timeout", "2s", "version").Run()
	})
}

// configureCNI describes the pod network: point-to-point, so that all traffic between pods is routed. On a bridge the
// answer of a pod to its neighbor would bypass the address translation of Services unless a kernel module helps.
func (s *starter) configureCNI() error {
	if err := os.MkdirAll(s.path("cni", "conf"), 0o755); err != nil {
		return err
	}
	content, err := json.MarshalIndent(map[string]any{
		"cniVersion": "0.4.0",
		"name":       s.id(),
		"plugins": []any{
			map[string]any{
				"type": "ptp",
				"ipam": map[string]any{
					"type":    "host-local",
					"dataDir": s.path("cni", "addresses"),
					"ranges":  []any{[]any{map[string]any{"subnet": podCIDR}}},
					"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("cni", "conf", "10-pods.conflist"), content, 0o644)
}

func (s *starter) configureContainerd() (string, error) {
	plugins, err := machine.CNIPluginDir()
	if err != nil {
		return "", err
	}
	parsed, err := template.New("containerd.toml").Parse(containerdConfig)
	if err != nil {
		return "", err
	}
	var content strings.Builder
	if err := parsed.Execute(&content, map[string]string{
		"Root":          s.path("containerd"),
		"State":         s.path("run", "containerd"),
		"Socket":        s.containerdSocket(),
		"RuncRoot":      s.path("run", "runc"),
		"SandboxImage":  sandboxImage,
		"CNIPlugins":    plugins,
		"CNIConf":       s.path("cni", "conf"),
		"OptionalTools": s.path("containerd", "opt"),
	}); err != nil {
		return "", err
	}
	path := s.path("config", "containerd.toml")
	return path, os.WriteFile(path, []byte(content.String()), 0o644)
}

// startKubelet starts the kubelet, which registers the node.
func (s *starter) startKubelet() error {
	// Nothing outside the cluster is to be resolved, so pods that use the node's DNS get an empty configuration.
	if err := os.WriteFile(s.path("config", "resolv.conf"), nil, 0o644); err != nil {
		return err
	}
	path, err := s.writeConfig("kubelet.yaml", s.kubeletConfig())
	if err != nil {
		return err
	}
	return s.start(components.Kubelet, []string{
		"--config=" + path,
		"--kubeconfig=" + s.nodeKubeconfig("kubelet"),
		"--hostname-override=" + nodeName,
		"--node-ip=" + nodeIP,
		"--root-dir=" + s.path("kubelet"),
		"--cert-dir=" + s.path("run", "kubelet"),
		// cAdvisor, which is part of the kubelet, takes the names of containers from there.
		"--containerd=" + s.containerdSocket(),
	})
}

func (s *starter) kubeletConfig() map[string]any {
	endpoint := "unix://" + s.containerdSocket()
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",

		"address":           nodeIP,
		"tlsCertFile":       s.pki("kubelet.crt"),
		"tlsPrivateKeyFile": s.pki("kubelet.key"),
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": s.pki("ca.crt")},
		},
		"authorization": map[string]any{"mode": "Webhook"},

		"containerRuntimeEndpoint": endpoint,
		"imageServiceEndpoint":     endpoint,
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               "/" + s.cgroup().Name,
		"failCgroupV1":             false,
		"failSwapOn":               false,
		// The default lowers the kubelet's own score, which a container may not.
		"oomScoreAdj":            0,
		"makeIPTablesUtilChains": false,
		"podLogsDir":             s.path("logs", "pods"),
		"volumePluginDir":        s.path("kubelet", "volume-plugins"),

		"clusterDNS":    []string{dnsIP},
		"clusterDomain": dnsDomain,
		"resolvConf":    s.path("config", "resolv.conf"),

		// Images cannot be pulled again, so they are never collected, and a full disk of the host evicts no pod.
		"imageGCHighThresholdPercent": 100,
		"evictionHard": map[string]any{
			"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%",
			"imagefs.inodesFree": "0%",
		},

		// Quick to show what happens: pods are looked at, and with them mounted Secrets and ConfigMaps refreshed, every
		// few seconds instead of once a minute.
		"syncFrequency":             "5s",
		"nodeStatusUpdateFrequency": "2s",
		"nodeStatusReportFrequency": "30s",
	}
}

// writeConfig stores a daemon's configuration and returns its path.
func (c *Cluster) writeConfig(name string, config map[string]any) (string, error) {
	content, err := yaml.Marshal(config)
	if err != nil {
		return "", err
	}
	path := c.path("config", name)
	return path, os.WriteFile(path, content, 0o644)
}

// store is the containerd of this cluster.
func (c *Cluster) store() images.Store { return images.Store{Socket: c.containerdSocket()} }
