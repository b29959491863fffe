// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package walk_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/metricspipeline/operator/docs/walk"
)

// page has each thing that a document may have. A tilde stands for a backquote.
const page = `# Title
Save as ~web.yaml~:

~~~yaml
kind: Pod
~~~

An excerpt:

~~~yaml
spec: {}
~~~

*Not run by the tests: it takes a container registry.*

~~~console
$ docker push IMAGE
~~~

~~~console
$ kubectl apply -f web.yaml
pod/web created
$ kubectl get pod \
    -o name
...
pod/web
~~~

~~~text
a picture
~~~
`

func quoted(text string) string { return strings.ReplaceAll(text, "~", "`") }

func TestRead(t *testing.T) {
	got, err := walk.Read(quoted(page))
	if err != nil {
		t.Fatal(err)
	}
	saved := walk.Step{Line: 4, File: "web.yaml", Content: "kind: Pod\n"}
	want := walk.Document{
		Steps: []walk.Step{
			saved,
			{Line: 21, Command: "kubectl apply -f web.yaml", Want: []string{"pod/web created"}},
			{Line: 23, Command: "kubectl get pod \\\n    -o name", Want: []string{"...", "pod/web"}},
		},
		Skipped:   []walk.Skipped{{Line: 16, Reason: "it takes a container registry"}},
		Manifests: []walk.Step{saved, {Line: 10, Content: "spec: {}\n"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ page, says string }{
		"a block of another kind":       {"~~~bash\nls\n~~~\n", `line 1: a block is of kind console, yaml or text, not "bash"`},
		"a block of no kind":            {"~~~\nls\n~~~\n", `not ""`},
		"a command without a prompt":    {"~~~console\nls\n~~~\n", `line 1: a console block begins with a command after "$ ", not with "ls"`},
		"a command without its end":     {"~~~console\n$ ls \\\n~~~\n", "without a whole command"},
		"an empty console block":        {"~~~console\n~~~\n", "without a whole command"},
		"a block without its end":       {"~~~console\n$ ls\n", "line 1: the block does not end"},
		"a mark above what nobody runs": {"*Not run by the tests: no.*\n\n~~~yaml\na: b\n~~~\n", "only a console block is run"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := walk.Read(quoted(tc.page))
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	for name, tc := range map[string]struct {
		want, got string
		// differs is a part of the error; empty where there is none.
		differs string
	}{
		"the same":                   {want: "pod/web created", got: "pod/web created\n"},
		"other widths of columns":    {want: "NAME   AGE\nweb    5s", got: "NAME                AGE\nweb                 61m   \n"},
		"another age":                {want: "web 1/1 2m10s", got: "web 1/1 7s"},
		"another number of replicas": {want: "web 3 2m10s", got: "web 1 2m10s", differs: `shows "web 3 2m10s"`},
		"other quantities":           {want: "node 182m 9% 2215Mi 14%", got: "node 1053m 52% 801Mi 4%"},
		"another unit":               {want: "api Passed", got: "api MissingEndpoints", differs: `shows "api Passed"`},
		"other hashes":               {want: "web-6f5b7c9d8-x2x7p 1/1", got: "web-75447bd94-9kkq8 1/1"},
		"a pod of another app":       {want: "web-6f5b7c9d8-x2x7p 1/1", got: "db-75447bd94-9kkq8 1/1", differs: "web-"},
		"what an HPA reads":          {want: "web 98/40 1 3 3", got: "web 33333m/40 1 3 3"},
		"what describe says of it":   {want: "on pods:  98 / 40", got: "on pods:  33333m / 40"},
		"another target of describe": {want: "on pods:  98 / 40", got: "on pods:  98 / 50", differs: "98 / 40"},
		"no value in describe":       {want: "on pods:  98 / 40", got: "on pods:  <unknown> / 40", differs: "98 / 40"},
		"what a VPA recommends":      {want: "web 262144k True 90s", got: "web 297164k True 3m"},
		"another target":             {want: "web 98/40 1 3 3", got: "web 98/50 1 3 3", differs: "98/40"},
		"unknown":                    {want: "web 0/40 1 3 1", got: "web <unknown>/40 1 3 1", differs: "0/40"},
		"a time and a value": {want: `{"timestamp":"2026-01-01T00:00:00Z","value":"0"}`,
			got: `{"timestamp":"2026-11-27T01:02:03Z","value":"4966m"}`},
		"a version is not a quantity": {want: "v0.9.0 v1beta1", got: "v0.9.1 v1beta1", differs: "v0.9.0"},
		"lines left out":              {want: "a\n...\nd", got: "a\nb\nc\nd"},
		"lines left out at the end":   {want: "a\n...", got: "a\nb\nc"},
		"a line too many":             {want: "a\nb", got: "a\nb\nc", differs: `does not show the line "c"`},
		"a line between":              {want: "a\nc", got: "a\nb\nc", differs: `shows "c"`},
		"a line before":               {want: "b", got: "a\nb", differs: `shows "b"`},
		"a line too few":              {want: "a\nb", got: "a", differs: `shows "b"`},
		"nothing shown":               {want: "", got: "anything"},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			if tc.want != "" {
				want = strings.Split(tc.want, "\n")
			}
			err := walk.Match(want, tc.got)
			if (err == nil) != (tc.differs == "") || err != nil && !strings.Contains(err.Error(), tc.differs) {
				t.Errorf("got %v, want an error with %q", err, tc.differs)
			}
		})
	}
}

func TestReadSection(t *testing.T) {
	document := "# Page\n\n```sh\nnot read\n```\n\n## First\n\n```console\n$ a\n```\n\n### Below\n```console\n$ b\n```\n## Next\n```console\n$ c\n```\n"
	got, err := walk.ReadSection(document, "First")
	if err != nil || len(got.Steps) != 2 || got.Steps[0].Command != "a" || got.Steps[0].Line != 10 || got.Steps[1].Command != "b" {
		t.Errorf("the section has %+v, %v", got.Steps, err)
	}
	if _, err := walk.ReadSection(document, "Second"); err == nil {
		t.Error("a section that is not there is read")
	}
}

func TestOnlyReads(t *testing.T) {
	for command, want := range map[string]bool{
		"kubectl get hpa web":                              true,
		"kubectl top node":                                 true,
		"kubectl metricspipeline why hpa/web":              true,
		"kubectl apply -f web.yaml":                        false,
		"kubectl get csr -o name | xargs kubectl delete":   false,
		`kubectl get --raw "/api/v1/x/proxy/load?rps=100"`: false,
		"make deploy":                                      false,
		`kubectl metricspipeline why hpa/web || echo "$?"`: true,
		"kubectl metricspipeline rules import -f x.yaml":   false,
	} {
		if got := (walk.Step{Command: command}).OnlyReads(); got != want {
			t.Errorf("%s: got %t, want %t", command, got, want)
		}
	}
}
