//go:build !unix

package redistest

import "os/exec"

func own(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
