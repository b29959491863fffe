package pki

import (
	"os"

	"sigs.k8s.io/yaml"
)

// WriteKubeconfig stores a kubeconfig that needs no other file: the server's address and CA, and the client's
// certificate and key.
func WriteKubeconfig(path, server string, ca []byte, client Pair) error {
	const name = "metricspipeline-cluster"
	content, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []any{map[string]any{
			"name":    name,
			"cluster": map[string]any{"server": server, "certificate-authority-data": ca},
		}},
		"users": []any{map[string]any{
			"name": name,
			"user": map[string]any{"client-certificate-data": client.Certificate, "client-key-data": client.Key},
		}},
		"contexts": []any{map[string]any{
			"name":    name,
			"context": map[string]any{"cluster": name, "user": name},
		}},
		"current-context": name,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}
