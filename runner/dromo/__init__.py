"""The vendor over HTTP: its Headless API, and the storage behind its presigned urls.

Imports the root nouns. No pacing of creates and no ledger: a call is made once, or says that it may be repeated.

- import: the vendor's remote object; *status* is the vendor's word for where it is, kept verbatim.
- create, retrieve, list: the API calls; only a create has an outcome that can be unknown (OutcomeUnknown).
- presigned url: where an upload or a result is transferred; the license key is never sent there.
- vendor time: the vendor's clock, learned from the `Date` of its answers.
"""
