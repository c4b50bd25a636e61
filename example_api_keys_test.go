package humanhours_test

import (
	"context"
	"fmt"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// A key is shown once, to its owner. Printed or logged, it shows its public part only.
func ExampleKeys() {
	ctx := context.Background()
	keys := humanhours.NewKeys(memory.New(), humanhours.KeysConfig{})
	key, secret, err := keys.Create(ctx, "acme", false, humanhours.ScopeTrackWrite)
	if err != nil {
		panic(err)
	}
	fmt.Println("length:", len(secret.Reveal()), "printed:", secret.String() == "hh_live_"+key.ID+"_...")

	caller, err := keys.Authenticate(ctx, secret.Reveal())
	if err != nil {
		panic(err)
	}
	fmt.Println("org:", caller.Org, "scopes:", caller.Scopes)

	if _, err := keys.Revoke(ctx, key.ID); err != nil {
		panic(err)
	}
	_, err = keys.Authenticate(ctx, secret.Reveal())
	fmt.Println("after revocation:", humanhours.CodeOf(err))
	// Output:
	// length: 65 printed: true
	// org: acme scopes: track:write
	// after revocation: key_revoked
}
