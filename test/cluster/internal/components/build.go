package components

import (
	"cmp"
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

// compilerSettings are for every program and every user of the shared build cache alike, see GOFLAGS in the Makefile: a package
// that is compiled with other flags is another package. Debug information, which the linker would leave out, is a sixth of a
// compiler's time.
var compilerSettings = []string{"-trimpath", "-gcflags=all=-dwarf=false"}

// garbagePercent lets the compiler, whose processes are short, collect its garbage less often. It is no flag of the cache.
const garbagePercent = "400"

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
	series := &progress{log: b.Log, begun: time.Now()}
	var missing []build
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
		next, err := b.prepare(ctx, component, wanted)
		if err != nil {
			return nil, err
		}
		for _, binary := range wanted {
			paths[binary.Name] = filepath.Join(next.dir, binary.Name)
		}
		if len(absent(next.dir, wanted)) > 0 {
			missing = append(missing, next)
			series.components = append(series.components, component)
		}
	}
	for i, next := range missing {
		if err := b.build(ctx, next, series, i); err != nil {
			return nil, err
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

// build is what is to be built of a component, and where to.
type build struct {
	component      Component
	wanted         []Binary
	version, flags string
	// dir is the folder of the finished binaries.
	dir string
}

// prepare works out where the wanted binaries of a component are, or will be.
func (b *Builder) prepare(ctx context.Context, component Component, wanted []Binary) (build, error) {
	version, err := component.version(b.Source)
	if err != nil {
		return build{}, err
	}
	flags := component.ldflags(version)
	toolchain, err := b.goCommand(ctx, component, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return build{}, err
	}
	settings := slices.Concat([]string{flags}, compilerSettings, component.tags)
	digest, err := component.digest(b.Source, strings.Join(settings, " "), toolchain)
	if err != nil {
		return build{}, err
	}
	return build{component, wanted, version, flags, filepath.Join(b.Cache, component.Name+"-"+digest)}, nil
}

// build builds what is missing in the folder, one process at a time.
func (b *Builder) build(ctx context.Context, next build, series *progress, index int) error {
	if err := os.MkdirAll(next.dir, 0o755); err != nil {
		return err
	}
	unlock, err := machine.LockFile(next.dir+".lock", func() { b.Log("waiting for another build of %s", next.component.Name) })
	if err != nil {
		return err
	}
	defer unlock()
	// Another process may have built them while this one waited for the lock.
	next.wanted = absent(next.dir, next.wanted)
	if len(next.wanted) == 0 {
		return nil
	}
	return b.compile(ctx, next, series, index)
}

// compile builds the binaries aside and moves each in place when all are done, so that a folder never has half of one.
func (b *Builder) compile(ctx context.Context, next build, series *progress, index int) error {
	aside, err := os.MkdirTemp(next.dir, "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	var names, packages []string
	for _, binary := range next.wanted {
		names = append(names, binary.Name)
		packages = append(packages, binary.Package)
	}
	what := fmt.Sprintf("%s %s (%s)", next.component.Name, next.version, strings.Join(names, ", "))
	done := series.start(index, what)
	// Without the commit our own programs stay the same from one to the next, and the owner of the checkout does not matter.
	args := append([]string{"build", "-v", "-mod=readonly", "-buildvcs=false", "-ldflags", next.flags, "-o", aside + "/"},
		compilerSettings...)
	if len(next.component.tags) > 0 {
		args = append(args, "-tags", strings.Join(next.component.tags, ","))
	}
	cmd := b.command(ctx, next.component, append(args, packages...)...)
	var message strings.Builder
	cmd.Stderr = series.packages(&message)
	err = cmd.Run()
	elapsed := done()
	if err != nil {
		return fmt.Errorf("building %s in %s: %w\n%s", what, cmd.Dir, err, strings.TrimSpace(message.String()))
	}
	for _, binary := range next.wanted {
		built := filepath.Join(aside, builtName(binary.Package))
		if err := os.Rename(built, filepath.Join(next.dir, binary.Name)); err != nil {
			return err
		}
	}
	b.Log("built %s in %s", what, elapsed)
	return nil
}

// goCommand runs the go tool in the component's folder and returns its trimmed output; an error carries what it printed.
func (b *Builder) goCommand(ctx context.Context, component Component, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := b.command(ctx, component, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", args[0], cmd.Dir, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// command is the go tool in the component's folder.
func (b *Builder) command(ctx context.Context, component Component, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(b.Source, component.folder())
	// A workspace or vendor setting of the caller must not change what the component's own go.mod pins.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOGC="+cmp.Or(os.Getenv("GOGC"), garbagePercent))
	return cmd
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
