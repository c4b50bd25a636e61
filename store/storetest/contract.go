package storetest

// The sentences of humanhours.Store, word for word. A test holds them against the source: each must be proven by a case, and each
// case must prove one.
const (
	wholeEntries       = "Each entry is atomic: event, key and counter are all there or none is."
	independentEntries = "Entries of a batch are independent: one that is poisoned, refused or replayed changes nothing for the others."
	orderedEntries     = "Entries of a batch take effect in order, so the first entry with a key creates and later ones replay it."
	oneCreates         = "Of any number of concurrent Appends with one (org, key), exactly one creates and all others get its event, byte for byte."
	capHolds           = "Concurrent Appends never exceed the cap."

	idStoredOnce     = "Appending an event whose id is already stored in its org changes nothing and returns the stored one, not as a replay."
	opaqueNames      = "Orgs and keys are opaque byte strings that never collide, whatever is in them."
	keysBelongToOrgs = "The same key in another org is another key."

	exactWindow     = "A key names its event for the window from its first use by Entry.At: not a millisecond less, and at exactly that age it is free again."
	keylessCreates  = "An entry without a key always creates."
	mismatchIsTold  = "A replay whose fingerprint differs is a mismatch and returns the first event all the same."
	replayOnlyFinds = "Replay finds what a key holds at a time, and changes nothing."

	usageByMonth     = "Usage counts the events of an org by the UTC month of Entry.At."
	capRefuses       = "An entry is refused when its month already holds Cap events, and a refused entry stores nothing."
	replaysAreFree   = "A replay never counts against the quota and succeeds even when the quota is used up."
	refusedKeepsKey  = "A refused entry never burns its key."
	testEventsAreOut = "Test events are never counted and never refused."

	fieldsSurvive  = "Every field of an event survives: decimals exactly, instants to the millisecond in UTC, metadata as the same JSON value."
	nothingShared  = "No reference to a caller's slice is kept, and none of the store's own is handed out."
	eventsAreFinal = "Events are immutable: what was answered once is answered ever after."

	agentsSeen = "Agents returns each agent that a stored event names once, with the first and the last instant of occurrence of its events, " +
		"ordered by id; those of test events apart."
	agentsInStep = "An agent is recorded in the same step as its event: an entry that is refused, replayed or failed changes nothing about agents."

	baseDecides      = "Amend adds an amendment to an event that has as many as Base says, and changes nothing otherwise."
	oneAmends        = "Of concurrent Amends with one Base exactly one is stored."
	amendmentsShow   = "Event and Events show an event with its amendments, in their order; Append and Replay answer it as it was stored."
	redactionErases  = "A redaction erases metadata and audit sample: nothing that the store answers has them from then on."
	amendmentIsNoted = "In a store that is an OrgStore too, the change is appended to the history of the org in the same step."

	eventsInOrder   = "Events yields each matching event once, in the order that was asked for, whatever the order in which they came."
	cursorGoesOn    = "Events goes on after a cursor, wherever it comes from."
	nothingHeld     = "Events holds no lock and no transaction while the caller's loop body runs."
	sparseIsEnough  = "A sparse event has at least what EventQuery.Sparse and Bare leave in, as the whole one has it."
	orgsAreIsolated = "An org sees its own events only."

	endedContext = "A context that has ended is answered promptly with its error, and nothing is stored."
	invalidAlone = "An invalid entry fails alone and stores nothing."
)

// Sentences of humanhours.Reporter.
const (
	sumsInStep    = "Sums are written in the step that writes the event, or its amendment: at no time does one count without the other."
	sumsAreEvents = "Each event is in exactly one of them, with what its amendments make of it; the order does not matter, and two may be alike in everything but the sums."
	sumsAnew      = "Rebuild makes the sums of an org anew from its events"
)

// Sentences of humanhours.OrgStore.
const (
	opaqueOrgIDs   = "Ids are opaque byte strings of 1 to 255 bytes and must never collide."
	orgsPrompt     = "must return promptly when ctx ends"
	orgMapsPrivate = "must keep no reference to a map that came from a caller, nor hand out one of their own"
	orgsExact      = "Decimals must survive exactly, instants to the millisecond in UTC."
	orgSnapshot    = "Org returns a snapshot of one org; false when there is none. Later updates must not show in it."
	orgPrivateCopy = "it hands f a private copy of the org as it is (for an absent one: the zero Org with its ID)"
	orgNoneLost    = "of concurrent updates none is lost"
	orgHistoryStep = "The changes that f returned must be appended to the org's history in the same atomic step."
	orgOwnFields   = "ID and Version are the store's: whatever f does to them has no effect, and Version grows by one with each update."
	orgErrorOfF    = "An error of f must be returned as it is (errors.Is), with nothing stored."
	orgAsStored    = "UpdateOrg returns the org as stored."
	orgHistory     = "History returns the org's changes in the order in which they were stored; none for an absent org."
	orgHistoryPage = "Seq grows from each change to the next. With Before and Limit it returns the last changes before one, and reads no others."
)

// Sentences of humanhours.KeyStore.
const (
	keysPrompt    = "must return promptly when ctx ends"
	keysExact     = "Instants must survive to the millisecond in UTC."
	keyTaken      = "If the id is taken, it changes nothing, whatever the stored key says (it never un-revokes), and returns the stored key and false."
	keyFound      = "Key returns the key of an id, revoked or not; false when there is none."
	keyCase       = "Ids differ by case."
	keysOfOrg     = "Keys returns the keys of an org, revoked ones too, ordered by (CreatedAt, ID); those of all orgs if org is empty."
	keyRevoked    = "RevokeKey marks a key as revoked at a time and returns it; false when there is none."
	keyRevokeOnce = "Revoking again changes nothing: the first time stays."
	keyTouched    = "TouchKey records that a key was used at a time."
	keyNeverBack  = "LastUsedAt never goes back"
	keyTouchedToo = "revoked keys are touched too"
	keyNoTouch    = "an id that there is no key of is no error"
	keyPutUsed    = "PutKey stores a key with its LastUsedAt."
	keysSafe      = "Methods must be safe for concurrent use"
)

// Sentences of humanhours.Limiter and of its query and answer.
const (
	limitExact = "Of all Takes on one key, in any interval of one second (half-open: a Take exactly one second after another " +
		"is not in the same interval), at most Limit are allowed; and a Take is refused only if Limit others were allowed in the second before it."
	limitRefused    = "Refused Takes do not count."
	limitAtomic     = "Check and take are one atomic step."
	limitKeys       = "Keys are opaque byte strings and must never collide."
	limitChanges    = "q.Limit is at least 1 and may change from call to call."
	limitRetryAfter = "when refused: how long until a Take can be allowed, more than 0 and at most a second"
)
