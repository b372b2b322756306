// SPDX-License-Identifier: MIT

package questdb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Version is the release that the tests run against.
const Version = "9.3.4"

// Jar returns the path of the server's jar: the file that QUESTDB_JAR names, or
// the one in the local Maven repository, where Maven puts it if it is missing.
func Jar(ctx context.Context) (string, error) {
	if jar := os.Getenv("QUESTDB_JAR"); jar != "" {
		return jar, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("questdb: find the Maven repository: %w", err)
	}
	jar := filepath.Join(home, ".m2", "repository", "org", "questdb", "questdb", Version, "questdb-"+Version+".jar")
	if exists(jar) {
		return jar, nil
	}
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:get",
		"-Dartifact=org.questdb:questdb:"+Version, "-Dtransitive=false")
	if out, err := mvn.CombinedOutput(); err != nil {
		return "", fmt.Errorf("questdb: get the jar with Maven: %w\n%s", err, out)
	}
	if !exists(jar) {
		return "", fmt.Errorf("questdb: Maven succeeded, but there is no %s; name the jar in QUESTDB_JAR", jar)
	}
	return jar, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
