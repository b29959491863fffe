package machine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// cniPluginDirs are where distributions put the CNI plugins: Debian, then upstream.
var cniPluginDirs = []string{"/usr/lib/cni", "/opt/cni/bin"}

// packageOf names the Debian package of each program that the node runs.
var packageOf = map[string]string{
	"containerd":              "containerd",
	"containerd-shim-runc-v2": "containerd",
	"ctr":                     "containerd",
	"runc":                    "runc",
	"nft":                     "nftables",
	"iptables":                "iptables",
	"ipset":                   "ipset",
	"conntrack":               "conntrack",
	"ip":                      "iproute2",
}

// cniPlugins are the plugins of the pod network.
var cniPlugins = []string{"host-local", "loopback", "portmap", "ptp"}

// CheckPackages returns an error with the command to run when programs of the distribution are missing. It extends PATH
// by the folders of administrators' programs, which is where some of them are.
func CheckPackages() error {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if !slices.Contains(filepath.SplitList(path), dir) {
			path += string(filepath.ListSeparator) + dir
		}
	}
	if err := os.Setenv("PATH", path); err != nil {
		return err
	}
	return checkPackages(cniPluginDirs)
}

func checkPackages(pluginDirs []string) error {
	var packages, programs []string
	for program, pkg := range packageOf {
		if _, err := exec.LookPath(program); err != nil {
			programs = append(programs, program)
			packages = append(packages, pkg)
		}
	}
	if _, err := findPlugins(pluginDirs); err != nil {
		programs = append(programs, "the CNI plugins "+strings.Join(cniPlugins, ", "))
		packages = append(packages, "containernetworking-plugins")
	}
	if len(packages) == 0 {
		return nil
	}
	slices.Sort(programs)
	slices.Sort(packages)
	return fmt.Errorf("missing on this machine: %s; run: apt-get install --yes --no-install-recommends %s",
		strings.Join(programs, ", "), strings.Join(slices.Compact(packages), " "))
}

// CNIPluginDir is the folder with all the plugins of the pod network.
func CNIPluginDir() (string, error) { return findPlugins(cniPluginDirs) }

func findPlugins(dirs []string) (string, error) {
	for _, dir := range dirs {
		if !slices.ContainsFunc(cniPlugins, func(name string) bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err != nil
		}) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no CNI plugins in %s", strings.Join(dirs, " or "))
}
