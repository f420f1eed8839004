"""From a source to audited raw files: fetch, archive, manifest, audit, and the drawn demo."""
