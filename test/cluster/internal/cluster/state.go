package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// state is what the cluster remembers between commands. It is written before and after each step of a start, so that a
// start that was killed can be cleaned up too.
type state struct {
	// Complete is set once, when the start succeeded.
	Complete bool `json:"complete"`
	// WithPrometheus says whether the monitoring stack was requested.
	WithPrometheus bool `json:"withPrometheus"`
	// NetworkPolicies says whether they are enforced.
	NetworkPolicies bool `json:"networkPolicies"`
	// NextControlPlane says whether kube-apiserver and kube-controller-manager are of the next minor of Kubernetes.
	NextControlPlane bool `json:"nextControlPlane"`
	// HostPort is the port of the API server on the host's loopback.
	HostPort int `json:"hostPort"`
	// Processes are the daemons in the order of their start.
	Processes []machine.Process `json:"processes"`
	// Kubectl is the path of the kubectl that fits the cluster.
	Kubectl string `json:"kubectl"`
	// Versions are the components' versions by binary.
	Versions map[string]string `json:"versions"`

	mu   sync.Mutex
	path string
}

func (c *Cluster) statePath() string { return c.path("state.json") }

// loadState returns nil when there is no cluster.
func (c *Cluster) loadState() (*state, error) {
	content, err := os.ReadFile(c.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &state{path: c.statePath()}
	if err := json.Unmarshal(content, s); err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.statePath(), err)
	}
	return s, nil
}

// update changes the state and stores it. Steps of a start run side by side.
func (s *state) update(change func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	aside := s.path + ".new"
	if err := os.WriteFile(aside, content, 0o644); err != nil {
		return err
	}
	return os.Rename(aside, s.path)
}

// processes returns a copy of the daemons started so far.
func (s *state) processes() []machine.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]machine.Process(nil), s.Processes...)
}

// process returns the daemon of that name.
func (s *state) process(name string) (machine.Process, error) {
	for _, process := range s.processes() {
		if process.Name == name {
			return process, nil
		}
	}
	return machine.Process{}, fmt.Errorf("the cluster has no process %s: run down and up again", name)
}

// dead returns an error that names the first daemon that no longer runs and shows the end of its log.
func (s *state) dead() error {
	for _, process := range s.processes() {
		if !process.Alive() {
			return fmt.Errorf("%s (process %d) is gone; the end of its log %s:\n%s",
				process.Name, process.PID, process.Log, tail(process.Log, 12))
		}
	}
	return nil
}

// abandoned says why nobody can use the cluster any more. It is asked under the lock, which a start holds until it is complete.
func (s *state) abandoned() error {
	if !s.Complete {
		return errors.New("its start was cut off")
	}
	return s.dead()
}

// marker is the file by which a state folder is known as one, and the lock on it.
const marker = ".metricspipeline-cluster"

// lock makes sure that one command at a time changes the cluster. It returns what releases it. It refuses a folder that
// has other things in it: down unmounts and deletes below it.
func (c *Cluster) lock() (func(), error) {
	if err := os.MkdirAll(c.stateDir, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(c.stateDir)
	if err != nil {
		return nil, err
	}
	isMarker := func(entry os.DirEntry) bool { return entry.Name() == marker }
	if len(entries) > 0 && !slices.ContainsFunc(entries, isMarker) {
		return nil, fmt.Errorf("%s is not a state folder of this program: choose one that is empty or does not exist", c.stateDir)
	}
	return machine.LockFile(c.path(marker), func() { c.log("waiting for another up or down of this cluster") })
}
