package layers

import (
	"os/exec"
	"strings"
	"testing"
)

// TestManagerHasNoCommandLine: what the kubectl plugin needs does not come into the operator's binary, by whatever package.
func TestManagerHasNoCommandLine(t *testing.T) {
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/manager")
	command.Dir = root(t)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	imported := strings.Fields(string(out))
	if len(imported) < 100 {
		t.Fatalf("go list named %d packages: the test proves nothing", len(imported))
	}
	for _, name := range imported {
		for _, kept := range []string{"k8s.io/cli-runtime", Module + "/internal/cli", "sigs.k8s.io/prometheus-adapter/cmd"} {
			if name == kept || strings.HasPrefix(name, kept+"/") {
				t.Errorf("cmd/manager imports %s, which is for cmd/kubectl-metricspipeline alone", name)
			}
		}
	}
}
