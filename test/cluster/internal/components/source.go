package components

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// FindSource returns the folder of the components: dir when it is given, else the one of the checkout around the
// working directory, else the one of the checkout around this program.
func FindSource(dir string) (string, error) {
	if dir != "" {
		return dir, isSource(dir)
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the components: %w", err)
	}
	starts := []string{wd}
	if program, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(program))
	}
	for _, start := range starts {
		for at := start; ; at = filepath.Dir(at) {
			for _, sub := range []string{"components", "test/cluster/components"} {
				if found := filepath.Join(at, sub); isSource(found) == nil {
					return found, nil
				}
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return "", fmt.Errorf("no test/cluster/components above %s: run inside the checkout or pass --components",
		strings.Join(starts, " or "))
}

// isSource says why dir is not the components folder.
func isSource(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, shared, "go.mod")); err != nil {
		return fmt.Errorf("%s is not the components folder: %w", dir, err)
	}
	return nil
}

// version reads the component's release version from its go.mod.
func (c Component) version(source string) (string, error) {
	if c.Module == "" {
		return "v1", nil
	}
	path := filepath.Join(source, c.folder(), "go.mod")
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", c.Name, err)
	}
	file, err := modfile.Parse(path, content, nil)
	if err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", c.Name, err)
	}
	for _, require := range file.Require {
		if require.Mod.Path == c.Module {
			return releaseVersion(c.Module, require.Mod.Version), nil
		}
	}
	return "", fmt.Errorf("%s does not require %s: pin it there", path, c.Module)
}

// digest identifies what a build of the component depends on: every file of its folder, the flags and the toolchain.
func (c Component) digest(source, flags, toolchain string) (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%s\n", flags, toolchain)
	root := filepath.Join(source, c.folder())
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		fmt.Fprintf(hash, "%s %x\n", name, sha256.Sum256(content))
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("digest of component %s: %w", c.Name, err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}
