// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// isolatedEnv is set for the test process that runs in namespaces of its own.
const isolatedEnv = "METRICSPIPELINE_ENVTEST_ISOLATED"

// Isolated runs a test binary's main function and returns its exit code. Where the system allows it, run happens in a
// second process of the same binary that has a network and a process namespace of its own:
//
//   - The API server refuses endpoints on loopback addresses, so aggregated servers need other ones. In a namespace of
//     our own PodNetwork is simply local, and nothing of it is reachable from, or visible on, the host.
//   - Whatever ends the second process, a kill included, ends the control plane that it started with it, and the
//     namespaces go with their last process. There is nothing to clean up after a crash.
//
// prepare runs before, in the first process, which still has the host's network.
func Isolated(prepare func() error, run func() int) int {
	if os.Getenv(isolatedEnv) != "" {
		if err := configureNetwork(); err != nil {
			fmt.Fprintln(os.Stderr, "envtest:", err)
			return 1
		}
		return run()
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "envtest:", err)
		return 1
	}
	code, err := runIsolated()
	if err != nil {
		fmt.Fprintln(os.Stderr, notIsolated(err))
		return run()
	}
	return code
}

// HasPodNetwork says whether addresses of PodNetwork can be listened on.
func HasPodNetwork() bool { return os.Getenv(isolatedEnv) != "" }

// NeedPodNetwork leaves a story to test/e2e where there is no PodNetwork. It is the only thing that any story may depend
// on, and the run has said so at its start.
func NeedPodNetwork(t *testing.T) {
	t.Helper()
	if !HasPodNetwork() {
		t.Skip("LEFT TO test/e2e: it needs an aggregated API server, and there is no network namespace to run one in")
	}
}

func notIsolated(err error) string {
	line := strings.Repeat("=", 100)
	return fmt.Sprintf("%s\nenvtest: NO NETWORK NAMESPACE (%v)\nenvtest: the stories that need an aggregated API server "+
		"are LEFT TO test/e2e; to run them here, be root or allow user namespaces\n%s", line, err, line)
}
