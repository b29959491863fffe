// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package role

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

const (
	proofFile = "proof.txt"
	preamble  = `# For each permission of the operator the scenario that fails without it, and the name beside it that is refused: written by
# make test-role, never by hand. make verify fails when the roles are others than these.
`
)

// known is what a scenario did with the whole role.
type known struct {
	wire *wire
	took map[string]time.Duration
}

// TestRole takes one permission after the other away from the operator, and some scenario has to fail.
func TestRole(t *testing.T) {
	harness.NeedPodNetwork(t)
	roles, digest, err := readRoles()
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string]known{}
	if !t.Run("none", func(t *testing.T) {
		t.Run("what others add", func(t *testing.T) { authorizer(t.Context(), t, suite.Take(t), aggregated, false) })
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) { whole[s.name] = withWholeRole(t, s) })
		}
	}) {
		t.FailNow()
	}
	var mutex sync.Mutex
	found := map[permission]string{}
	complete := t.Run("permission", func(t *testing.T) {
		for _, r := range roles {
			for _, p := range r.permissions() {
				t.Run(p.String(), func(t *testing.T) {
					t.Parallel()
					outcome := missed(t, r, p, whole)
					mutex.Lock()
					defer mutex.Unlock()
					found[p] = outcome
				})
			}
		}
	})
	// A run of some subtests is no proof.
	if f := flag.Lookup("test.run"); !complete || strings.Contains(f.Value.String(), "/") {
		return
	}
	proof := preamble + "roles sha256:" + digest + "\n"
	for _, r := range roles {
		for _, p := range r.permissions() {
			proof += fmt.Sprintf("%s -> %s\n", p, found[p])
		}
	}
	if err := os.WriteFile(proofFile, []byte(proof), 0o644); err != nil {
		t.Fatal(err)
	}
}

// withWholeRole returns what a scenario does with every permission.
func withWholeRole(t *testing.T, s scenario) known {
	t.Helper()
	w, err := play(t, suite.Take(t), s, nil)
	if err != nil {
		t.Fatalf("with the whole role %q fails: %v", s.name, err)
	}
	if refused, _ := w.wire.refusals(); len(refused) > 0 {
		t.Errorf("with the whole role the operator is refused, in %q: %s", s.name, strings.Join(refused, ", "))
	}
	return known{w.wire, w.took}
}

// missed takes a permission from a role and returns the name of the scenario that fails, and of the object beside that of the
// permission which the operator may not reach.
func missed(t *testing.T, r role, p permission, whole map[string]known) string {
	t.Helper()
	c := suite.Take(t)
	refused := ""
	if p.objectName != "" {
		authorizer(t.Context(), t, c, p.beside(), false)
		refused = "; refused: " + p.beside().objectName
	}
	take(t, c, r, p)
	return firstToFail(t, c, p, whole) + refused
}

// take takes permissions from a role until the end of the test.
func take(t *testing.T, c *harness.Cluster, r role, taken ...permission) {
	t.Helper()
	setRules(t, c, r, r.without(taken...))
	t.Cleanup(func() {
		setRules(t, c, r, r.Rules)
		for _, p := range taken {
			authorizer(context.WithoutCancel(t.Context()), t, c, p, true)
		}
	})
	for _, p := range taken {
		authorizer(t.Context(), t, c, p, false)
	}
}

// firstToFail returns the name of the first scenario that fails now, of those that use the permission and then of the others:
// what is only granted is used in no request.
func firstToFail(t *testing.T, c *harness.Cluster, p permission, whole map[string]known) string {
	t.Helper()
	for _, s := range candidates(p, whole) {
		w, err := play(t, c, s, whole[s.name].took)
		if err == nil {
			continue
		}
		refused, _ := w.wire.refusals()
		if len(refused) == 0 {
			t.Fatalf("%q fails, and nothing was refused: %v", s.name, err)
		}
		t.Logf("%q fails: %v; refused: %s", s.name, err, strings.Join(refused, ", "))
		return s.name
	}
	t.Fatal("no scenario fails without it: remove it from the markers in internal or from config/rbac, or add a scenario that needs it")
	return ""
}

func candidates(p permission, whole map[string]known) []scenario {
	rank := func(s scenario) int {
		switch uses := whole[s.name].wire.uses(p); {
		case uses && p.verb == "watch" && s.name == atRest:
			return 0
		case uses:
			return 1
		default:
			return 2
		}
	}
	ordered := slices.Clone(scenarios)
	slices.SortStableFunc(ordered, func(a, b scenario) int { return rank(a) - rank(b) })
	return ordered
}

// play runs a scenario with the rights that the operator has now.
func play(t *testing.T, c *harness.Cluster, s scenario, usual map[string]time.Duration) (*world, error) {
	t.Helper()
	w, err := begin(t, c, s, usual)
	if err != nil {
		t.Fatalf("%q does not begin: %v", s.name, err)
	}
	outcome := s.run(w)
	if err := w.end(); err != nil {
		t.Fatalf("clearing up after %q: %v", s.name, err)
	}
	return w, outcome
}

// aggregated stands for what others let prometheus-adapter list. The operator has it not, and may bind the role that collects it.
var aggregated = permission{role: aggregateRole, group: "networking.k8s.io", resource: "ingresses", verb: "list"}

// setRules changes the rules of a role in the cluster.
func setRules(t *testing.T, c *harness.Cluster, r role, rules []rbacv1.PolicyRule) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	key := client.ObjectKey{Namespace: r.Metadata.Namespace, Name: r.Metadata.Name}
	var object client.Object
	if key.Namespace == "" {
		found := &rbacv1.ClusterRole{}
		object = found
		if err := c.Client.Get(ctx, key, found); err != nil {
			t.Fatal(err)
		}
		found.Rules = rules
	} else {
		found := &rbacv1.Role{}
		object = found
		if err := c.Client.Get(ctx, key, found); err != nil {
			t.Fatal(err)
		}
		found.Rules = rules
	}
	if err := c.Client.Update(ctx, object); err != nil {
		t.Fatal(err)
	}
}

// authorizer waits until the API server's authorizer has seen that the operator may, or may not.
func authorizer(ctx context.Context, t *testing.T, c *harness.Cluster, p permission, may bool) {
	t.Helper()
	resource, subresource, _ := strings.Cut(p.resource, "/")
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: harness.OperatorUser, Groups: []string{"system:serviceaccounts", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: p.namespace, Verb: p.verb,
			Group: p.group, Resource: resource, Subresource: subresource, Name: p.objectName},
	}
	if p.nonResourceURL != "" {
		spec.ResourceAttributes = nil
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: p.nonResourceURL, Verb: p.verb}
	}
	review := &authorizationv1.SubjectAccessReview{}
	err := wait.PollUntilContextTimeout(ctx, poll, 5*time.Second, true, func(ctx context.Context) (bool, error) {
		review = &authorizationv1.SubjectAccessReview{Spec: spec}
		if err := c.Client.Create(ctx, review); err != nil {
			return false, err
		}
		return review.Status.Allowed == may, nil
	})
	switch {
	case err != nil && may:
		t.Fatalf("the operator does not get it back: %v", err)
	case err != nil:
		t.Fatalf("%s: it is granted a second time, or beside the name (%v): %s", p, err, review.Status.Reason)
	}
}
