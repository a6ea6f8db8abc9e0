package main

import (
	"context"

	"github.com/FerretDB/FerretDB/internal/handler"
	"github.com/FerretDB/wire"
	"github.com/FerretDB/wire/wirebson"
)

type command func(context.Context, *wire.OpMsg) (*wire.OpMsg, error)

// manageUsers makes the user commands behave as in the real server where FerretDB's differ: they are there without
// --auth too (so that a later start with it finds the users), logins are SCRAM either way, and roles are accepted.
func manageUsers(h *handler.Handler, auth bool) {
	commands := h.Commands()
	if !auth {
		h.EnableNewAuth = true // after the commands were made, so only the kind of login changes
		for name, run := range map[string]command{
			"createUser":               h.MsgCreateUser,
			"updateUser":               h.MsgUpdateUser,
			"dropUser":                 h.MsgDropUser,
			"dropAllUsersFromDatabase": h.MsgDropAllUsersFromDatabase,
			"usersInfo":                h.MsgUsersInfo,
		} {
			entry := *commands["ping"] // its type has no exported name
			entry.Handler, entry.Help = run, name
			commands[name] = &entry
		}
	}
	for _, name := range []string{"createUser", "updateUser"} {
		commands[name].Handler = withoutRoles(commands[name].Handler)
	}
}

// withoutRoles empties the command's roles: FerretDB has none and refuses any.
func withoutRoles(run command) command {
	return func(ctx context.Context, message *wire.OpMsg) (*wire.OpMsg, error) {
		document, err := message.RawSection0().Decode()
		if err != nil || document.Get("roles") == nil {
			return run(ctx, message)
		}
		if err := document.Replace("roles", wirebson.MakeArray(0)); err != nil {
			return nil, err
		}
		if message, err = wire.NewOpMsg(document); err != nil {
			return nil, err
		}
		return run(ctx, message)
	}
}
