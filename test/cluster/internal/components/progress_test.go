package components

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestProgressGivesTheTimeThatIsLeft(t *testing.T) {
	first := Component{Cold: 300 * time.Second, Packages: 3000}
	second := Component{Cold: 100 * time.Second, Packages: 500}
	unknown := Component{Cold: 100 * time.Second}
	for _, test := range []struct {
		name       string
		components []Component
		current    int
		compiled   int
		elapsed    time.Duration
		want       time.Duration
	}{
		{"nothing is measured yet", []Component{first, second}, 0, 0, 0, 400 * time.Second},
		{"too little is measured yet", []Component{first, second}, 0, 100, 60 * time.Second, 390 * time.Second},
		{"as fast as measured", []Component{first, second}, 0, 1500, 150 * time.Second, 250 * time.Second},
		{"half as fast", []Component{first, second}, 0, 1500, 300 * time.Second, 500 * time.Second},
		{"the second component", []Component{first, second}, 1, 250, 350 * time.Second, 50 * time.Second},
		{"more packages than there were", []Component{first, second}, 1, 900, 400 * time.Second, 0},
		{"a component whose packages are not known", []Component{first, unknown}, 1, 90, 300 * time.Second, 100 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &progress{components: test.components, current: test.current, compiled: test.compiled}
			if got := p.left(test.elapsed); got != test.want {
				t.Errorf("after %s %s are left, want %s", test.elapsed, got, test.want)
			}
		})
	}
}

func TestProgressSaysHowFarItIs(t *testing.T) {
	var log []string
	p := &progress{components: []Component{{Cold: 90 * time.Second}, {Cold: 30 * time.Second}}, begun: time.Now().Add(-90 * time.Second),
		log: func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }}
	p.start(1, "etcd v3")()
	want := "building 2 of 2, etcd v3: 1 min 30 s so far, about 30 s left"
	if len(log) != 1 || log[0] != want {
		t.Errorf("said %q, want %q", log, want)
	}
}

func TestPackagesAreCountedAndMessagesKept(t *testing.T) {
	p := &progress{}
	var message strings.Builder
	writer := p.packages(&message)
	for _, part := range []string{
		"internal/abi\nexample.test/", "a\n# example.test/b\n", "./b.go:1:2: undefined: x\n", "go: downloading example.test/c v1\n",
	} {
		if n, err := writer.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if p.compiled != 2 {
		t.Errorf("%d packages were counted, want 2", p.compiled)
	}
	if want := "# example.test/b\n./b.go:1:2: undefined: x\ngo: downloading example.test/c v1\n"; message.String() != want {
		t.Errorf("kept %q, want %q", message.String(), want)
	}
}

func TestMinutes(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 42 * time.Second: "40 s", 59 * time.Second: "1 min 0 s", 200 * time.Second: "3 min 20 s", 11 * time.Minute: "11 min 0 s",
	} {
		if got := minutes(d); got != want {
			t.Errorf("minutes(%s) = %s, want %s", d, got, want)
		}
	}
}
