package ip

// This file is the place of path MTU discovery (RFC 1191, RFC 8201): a table of path
// MTUs by destination, bounded, whose entries age after ten minutes, that refuses MTUs
// below 68 and 1280 and is fed by errors of ErrorTooBig that have proven to be about a
// packet in flight. Until then ParseQuote reports such errors and nothing heeds them.
