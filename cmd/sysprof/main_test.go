package main_test

import (
	"testing"

	"sysprof/cmd/internal/drive"
)

func TestMain(m *testing.M) { drive.Main(m, 0) }
