package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/FerretDB/FerretDB/internal/handler"
	"github.com/FerretDB/wire"
	"github.com/FerretDB/wire/wirebson"
)

// features is what the real server keeps as featureCompatibilityVersion: data stay as this release series reads them until
// setFeatureCompatibilityVersion says another. Here it is a file beside the data.
type features struct {
	file string
	// series of this binary, such as 8.0.
	series string
}

// openFeatures refuses data of another series, as the real server does: it starts on its own and on those of the major release before.
func openFeatures(dbPath string) (features, error) {
	f := features{file: filepath.Join(dbPath, "featureCompatibilityVersion"), series: seriesOf(os.Getenv("MONGO_VERSION"))}
	found, err := os.ReadFile(f.file)
	if os.IsNotExist(err) {
		return f, os.WriteFile(f.file, []byte(f.series), 0o600)
	}
	if err != nil {
		return f, err
	}
	if version := string(found); version != f.series && version != before(f.series) {
		return f, fmt.Errorf("Wrong mongod version: UPGRADE PROBLEM: Found an invalid featureCompatibilityVersion document (%s)."+
			" The current featureCompatibilityVersion must be %s or %s", version, f.series, before(f.series))
	}
	return f, nil
}

// seriesOf answers 8.0 for 8.0.15, and that of the images' oldest release where the environment says none.
func seriesOf(release string) string {
	parts := strings.Split(release, ".")
	if len(parts) < 2 {
		return "7.0"
	}
	return parts[0] + "." + parts[1]
}

func before(series string) string {
	var major int
	fmt.Sscanf(series, "%d.", &major)
	return fmt.Sprintf("%d.0", major-1)
}

var ask = wirebson.MustDocument("getParameter", int32(1), "featureCompatibilityVersion", int32(1), "$db", "admin")

// manage makes the two commands about it behave as in the real server. FerretDB's own getParameter looks whether the client is logged in.
func (f features) manage(h *handler.Handler) {
	commands := h.Commands()
	get := commands["getParameter"].Handler
	commands["getParameter"].Handler = func(ctx context.Context, message *wire.OpMsg) (*wire.OpMsg, error) {
		answered, err := get(ctx, message)
		if err != nil {
			return nil, err
		}
		document, err := message.RawSection0().Decode()
		if err != nil || document.Get("featureCompatibilityVersion") == nil {
			return answered, err
		}
		version, err := os.ReadFile(f.file)
		if err != nil {
			return nil, err
		}
		return answer("featureCompatibilityVersion", wirebson.MustDocument("version", string(version)))
	}
	entry := *commands["getParameter"]
	entry.Help = "setFeatureCompatibilityVersion"
	entry.Handler = func(ctx context.Context, message *wire.OpMsg) (*wire.OpMsg, error) {
		question, err := wire.NewOpMsg(ask)
		if err != nil {
			return nil, err
		}
		if _, err := get(ctx, question); err != nil {
			return nil, err
		}
		document, err := message.RawSection0().Decode()
		if err != nil {
			return nil, err
		}
		version, _ := document.Get("setFeatureCompatibilityVersion").(string)
		if confirmed, _ := document.Get("confirm").(bool); !confirmed {
			return nil, fmt.Errorf("Once you have changed the FCV, you cannot go back: set confirm to true")
		}
		if version != f.series && version != before(f.series) {
			return nil, fmt.Errorf("Invalid feature compatibility version value '%s'; expected '%s' or '%s'", version, before(f.series), f.series)
		}
		if err := os.WriteFile(f.file, []byte(version), 0o600); err != nil {
			return nil, err
		}
		return answer()
	}
	commands["setFeatureCompatibilityVersion"] = &entry
}

func answer(fields ...any) (*wire.OpMsg, error) {
	document, err := wirebson.NewDocument(append(fields, "ok", float64(1))...)
	if err != nil {
		return nil, err
	}
	return wire.NewOpMsg(document)
}
