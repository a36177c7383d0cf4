-- Events by their resource, for the log's filter and search by resource id. Events without one are not in it.
CREATE INDEX events_resource ON events (app, resource_id) WHERE resource_id IS NOT NULL;
