package machine

import (
	"os"
	"path/filepath"
	"testing"
)

// The last of several clusters restores what was before the first, in whatever order they go, and whether they called Save or not.
func TestTheLastClusterRestoresTheSettings(t *testing.T) {
	const before, changed = "0", "1"
	for name, test := range map[string]struct {
		up, down []string
		// still is how many of them go while another is up.
		still int
	}{
		"one":                         {[]string{"a"}, []string{"a"}, 0},
		"the first goes first":        {[]string{"a", "b"}, []string{"a", "b"}, 1},
		"the first goes last":         {[]string{"a", "b"}, []string{"b", "a"}, 1},
		"one that never was up":       {[]string{"a"}, []string{"other", "a"}, 1},
		"one that failed to go first": {[]string{"a", "a"}, []string{"a", "a"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			settings := t.TempDir()
			s := Sysctls{Settings: settings, Dir: filepath.Join(t.TempDir(), "run")}
			setting := filepath.Join(settings, "kernel", "panic")
			if err := os.MkdirAll(filepath.Dir(setting), 0o700); err != nil {
				t.Fatal(err)
			}
			write := func(value string) {
				if err := os.WriteFile(setting, []byte(value+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// Twice: what the first time has left must not be restored the second time.
			for _, before := range []string{before, "7"} {
				write(before)
				for _, cluster := range test.up {
					if err := s.Save(cluster); err != nil {
						t.Fatal(err)
					}
					write(changed)
				}
				for i, cluster := range test.down {
					if err := s.Restore(cluster); err != nil {
						t.Fatal(err)
					}
					want := before
					if i < test.still {
						want = changed + "\n"
					}
					if content, err := os.ReadFile(setting); err != nil || string(content) != want {
						t.Errorf("after %q has gone: %q, want %q, %v", cluster, content, want, err)
					}
				}
			}
		})
	}
}
