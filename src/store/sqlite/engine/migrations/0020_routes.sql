-- Where a request went, and how long its parts took.
ALTER TABLE attempt_details ADD COLUMN remote_address TEXT;
ALTER TABLE attempt_details ADD COLUMN dns_ms INTEGER;
ALTER TABLE attempt_details ADD COLUMN connect_ms INTEGER;
ALTER TABLE attempt_details ADD COLUMN tls_ms INTEGER;
ALTER TABLE attempt_details ADD COLUMN first_byte_ms INTEGER;
