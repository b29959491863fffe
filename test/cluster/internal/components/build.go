package components

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/machine"
)

// progressPeriod is how often a running build says that it still runs.
const progressPeriod = 15 * time.Second

// Builder builds components and keeps the binaries in Cache, one folder per digest.
type Builder struct {
	// Source is the folder of the components, see [FindSource].
	Source string
	// Cache is the folder of the finished binaries.
	Cache string
	// Log gets one line per step.
	Log func(format string, args ...any)
}

// NewBuilder keeps binaries in the user's cache folder. The error names what to set when there is none.
func NewBuilder(source string, log func(string, ...any)) (*Builder, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no folder to keep binaries in, set HOME or XDG_CACHE_HOME: %w", err)
	}
	return &Builder{Source: source, Cache: filepath.Join(cache, "metricspipeline-cluster"), Log: log}, nil
}

// Binaries builds what is missing of the named binaries and returns their paths by name. Several callers, also in several
// processes, may call it at once: one builds, the others wait for it.
func (b *Builder) Binaries(ctx context.Context, names ...string) (map[string]string, error) {
	for _, name := range names {
		if _, err := byBinary(name); err != nil {
			return nil, err
		}
	}
	paths := map[string]string{}
	for _, component := range All {
		var wanted []Binary
		for _, binary := range component.Binaries {
			if slices.Contains(names, binary.Name) {
				wanted = append(wanted, binary)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		dir, err := b.build(ctx, component, wanted)
		if err != nil {
			return nil, err
		}
		for _, binary := range wanted {
			paths[binary.Name] = filepath.Join(dir, binary.Name)
		}
	}
	return paths, nil
}

// Directory is like [Builder.Binaries] but gathers the binaries, by links, in one folder of their own, which is what
// envtest wants. The same binaries give the same folder.
func (b *Builder) Directory(ctx context.Context, names ...string) (string, error) {
	paths, err := b.Binaries(ctx, names...)
	if err != nil {
		return "", err
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(names)))
	hash := sha256.New()
	for _, name := range sorted {
		fmt.Fprintln(hash, paths[name])
	}
	dir := filepath.Join(b.Cache, "bin-"+hex.EncodeToString(hash.Sum(nil))[:16])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range sorted {
		err := os.Symlink(paths[name], filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
	}
	return dir, nil
}

// Version is the release version of the component that builds the named binary, as its images are tagged.
func (b *Builder) Version(binary string) (string, error) {
	component, err := byBinary(binary)
	if err != nil {
		return "", err
	}
	return component.version(b.Source)
}

// ModuleDir returns the folder of the component's module in the module cache, for files that ship beside the code.
func (b *Builder) ModuleDir(ctx context.Context, name string) (string, error) {
	component, err := ByName(name)
	if err != nil {
		return "", err
	}
	// A module that is only in the build cache has no folder yet; download is quick when there is one.
	if _, err := b.goCommand(ctx, component, "mod", "download", component.Module); err != nil {
		return "", err
	}
	return b.goCommand(ctx, component, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", component.Module)
}

// build returns the folder of the component's binaries after building those of wanted that are not in it.
func (b *Builder) build(ctx context.Context, component Component, wanted []Binary) (string, error) {
	version, err := component.version(b.Source)
	if err != nil {
		return "", err
	}
	flags := component.ldflags(version)
	toolchain, err := b.goCommand(ctx, component, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", err
	}
	digest, err := component.digest(b.Source, strings.Join(append([]string{flags}, component.tags...), " "), toolchain)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(b.Cache, component.Name+"-"+digest)
	missing := absent(dir, wanted)
	if len(missing) == 0 {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := machine.LockFile(dir+".lock", func() { b.Log("waiting for another build of %s", component.Name) })
	if err != nil {
		return "", err
	}
	defer unlock()
	// Another process may have built them while this one waited for the lock.
	if missing = absent(dir, wanted); len(missing) == 0 {
		return dir, nil
	}
	return dir, b.compile(ctx, component, version, flags, dir, missing)
}

// compile builds the binaries aside and moves each in place when all are done, so that a folder never has half of one.
func (b *Builder) compile(ctx context.Context, component Component, version, flags, dir string, binaries []Binary) error {
	aside, err := os.MkdirTemp(dir, "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	var names, packages []string
	for _, binary := range binaries {
		names = append(names, binary.Name)
		packages = append(packages, binary.Package)
	}
	what := fmt.Sprintf("%s %s (%s)", component.Name, version, strings.Join(names, ", "))
	done := b.reportProgress(what)
	// Without the commit our own programs stay the same from one to the next, and the owner of the checkout does not matter.
	args := []string{"build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", aside + "/"}
	if len(component.tags) > 0 {
		args = append(args, "-tags", strings.Join(component.tags, ","))
	}
	args = append(args, packages...)
	_, err = b.goCommand(ctx, component, args...)
	elapsed := done()
	if err != nil {
		return fmt.Errorf("building %s: %w", what, err)
	}
	for _, binary := range binaries {
		built := filepath.Join(aside, builtName(binary.Package))
		if err := os.Rename(built, filepath.Join(dir, binary.Name)); err != nil {
			return err
		}
	}
	b.Log("built %s in %s", what, elapsed)
	return nil
}

// reportProgress says that a build starts and, every so often, that it still runs. The returned function ends that and
// gives the time taken.
func (b *Builder) reportProgress(what string) func() time.Duration {
	b.Log("building %s", what)
	start := time.Now()
	elapsed := func() time.Duration { return time.Since(start).Round(100 * time.Millisecond) }
	stop := make(chan struct{})
	go func() {
		ticker := time.NewTicker(progressPeriod)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				b.Log("building %s: %s so far", what, elapsed().Round(time.Second))
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return elapsed()
	}
}

// goCommand runs the go tool in the component's folder and returns its trimmed output; an error carries what it printed.
func (b *Builder) goCommand(ctx context.Context, component Component, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(b.Source, component.Name)
	// A workspace or vendor setting of the caller must not change what the component's own go.mod pins.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", args[0], cmd.Dir, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// absent returns those of the binaries that are not in the folder.
func absent(dir string, binaries []Binary) []Binary {
	return slices.DeleteFunc(slices.Clone(binaries), func(binary Binary) bool {
		_, err := os.Stat(filepath.Join(dir, binary.Name))
		return err == nil
	})
}

// builtName is the file name that the go tool gives the binary of a package: the last element of its path that is not a
// major version.
func builtName(pkg string) string {
	elements := strings.Split(pkg, "/")
	last := elements[len(elements)-1]
	if len(last) > 1 && last[0] == 'v' && strings.Trim(last[1:], "0123456789") == "" {
		return elements[len(elements)-2]
	}
	return last
}
