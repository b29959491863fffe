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
	preamble  = `# For each permission of the operator the scenario that fails without it: written by make test-role, never by hand.
# make verify fails when the roles are others than these.
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
	cluster = suite.Take(t)
	roles, digest, err := readRoles()
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string]known{}
	for _, s := range scenarios {
		w, err := play(t, s, nil)
		if err != nil {
			t.Fatalf("with the whole role %q fails: %v", s.name, err)
		}
		if refused, _ := w.wire.refusals(); len(refused) > 0 {
			t.Errorf("with the whole role the operator is refused, in %q: %s", s.name, strings.Join(refused, ", "))
		}
		whole[s.name] = known{w.wire, w.took}
	}
	proof, complete := preamble+"roles sha256:"+digest+"\n", true
	for _, r := range roles {
		for _, p := range r.permissions() {
			complete = t.Run(p.String(), func(t *testing.T) {
				proof += fmt.Sprintf("%s -> %s\n", p, missed(t, r, p, whole))
			}) && complete
		}
	}
	complete = t.Run(aggregated.String(), func(t *testing.T) {
		proof += fmt.Sprintf("%s -> %s\n", aggregated, missedAggregated(t, whole))
	}) && complete
	// A run of some subtests is no proof.
	if f := flag.Lookup("test.run"); complete && !strings.Contains(f.Value.String(), "/") {
		if err := os.WriteFile(proofFile, []byte(proof), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// missed takes a permission from a role and returns the name of the scenario that fails.
func missed(t *testing.T, r role, p permission, whole map[string]known) string {
	t.Helper()
	setRules(t, cluster, r, r.without(p))
	t.Cleanup(func() {
		setRules(t, cluster, r, r.Rules)
		authorizer(context.WithoutCancel(t.Context()), t, cluster, p, true)
	})
	authorizer(t.Context(), t, cluster, p, false)
	return firstToFail(t, p, whole)
}

// firstToFail returns the name of the first scenario that fails now, of those that use the permission and then of the others:
// what is only granted is used in no request.
func firstToFail(t *testing.T, p permission, whole map[string]known) string {
	t.Helper()
	for _, s := range candidates(p, whole) {
		w, err := play(t, s, whole[s.name].took)
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
	t.Fatal("no scenario fails without it: remove it from internal/controller/rbac.go or config/rbac, or add a scenario that needs it")
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
func play(t *testing.T, s scenario, usual map[string]time.Duration) (*world, error) {
	t.Helper()
	w, err := begin(t, cluster, s, usual)
	if err != nil {
		t.Fatalf("%q does not begin: %v", s.name, err)
	}
	outcome := s.run(w)
	if err := w.end(); err != nil {
		t.Fatalf("clearing up after %q: %v", s.name, err)
	}
	return w, outcome
}

// aggregated stands for what others let prometheus-adapter list: the operator may grant it by a binding of its own.
var aggregated = permission{role: aggregateRole, group: "networking.k8s.io", resource: "ingresses", verb: "list"}

// missedAggregated is missed for the operator's binding to the role that collects what prometheus-adapter may list.
func missedAggregated(t *testing.T, whole map[string]known) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	binding := &rbacv1.ClusterRoleBinding{}
	if err := cluster.Client.Get(ctx, client.ObjectKey{Name: aggregateBinding}, binding); err != nil {
		t.Fatal(err)
	}
	bind := func(subjects []rbacv1.Subject) {
		binding.Subjects = subjects
		if err := cluster.Client.Update(ctx, binding); err != nil {
			t.Fatal(err)
		}
		authorizer(ctx, t, cluster, aggregated, len(subjects) > 0)
	}
	operator := binding.Subjects
	t.Cleanup(func() { bind(operator) })
	bind(nil)
	return firstToFail(t, aggregated, whole)
}

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
		t.Fatalf("it is granted a second time, remove one (%v): %s", err, review.Status.Reason)
	}
}
