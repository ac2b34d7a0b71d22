"""A document like the one that the daemon describes itself with."""

_ERROR = {
    "description": "The request is refused.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {
        "title": "spsd REST API",
        "version": "0.2.0",
        "description": "Fetches firmware, proves it by its SHA-256, and installs it into slots.\n\n"
        "Log in first; each later request sends the cookie `session_id`.",
    },
    "servers": [{"url": "/"}],
    "security": [{"session": []}],
    "tags": [
        {"name": "Sessions", "description": "Logging in and out."},
        {"name": "Downloads", "description": "Jobs that fetch an image into a slot."},
        {"name": "Nobody", "description": "No operation has this tag."},
    ],
    "paths": {
        "/api/authentication": {
            "get": {
                "tags": ["Sessions"],
                "summary": "Log in",
                "security": [{"basic": []}],
                "x-spsd-access": "anyone with a name and a password",
                "responses": {
                    "200": {
                        "description": "Logged in.",
                        "headers": {
                            "Set-Cookie": {
                                "description": "The cookie `session_id`.",
                                "required": True,
                                "schema": {"type": "string"},
                            }
                        },
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["meta"],
                                    "properties": {"meta": {"$ref": "#/components/schemas/Meta"}},
                                }
                            }
                        },
                    },
                    "401": {"$ref": "#/components/responses/Refused"},
                },
            },
            "delete": {
                "tags": ["Sessions"],
                "summary": "Log out",
                "responses": {"204": {"description": "The session is over."}},
            },
        },
        "/api/firmware/fetch": {
            "get": {
                "tags": ["Downloads"],
                "summary": "List downloads",
                "description": "In order of creation.",
                "x-spsd-access": "viewer",
                "parameters": [
                    {
                        "name": "status",
                        "in": "query",
                        "description": "Only those in this state.",
                        "schema": {"$ref": "#/components/schemas/Status"},
                    },
                    {
                        "name": "limit",
                        "in": "query",
                        "required": True,
                        "description": "How many at most.",
                        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
                    },
                ],
                "responses": {
                    "200": {
                        "description": "All of them.",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Fetches"}}
                        },
                    },
                    "401": {"$ref": "#/components/responses/Refused"},
                },
            },
            "post": {
                "tags": ["Downloads"],
                "summary": "Start a download",
                "description": "The job is on disk when the `202` is sent.",
                "x-spsd-access": "admin",
                "requestBody": {
                    "required": True,
                    "description": "Where the image is and what it must be.",
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Submission"}}
                    },
                },
                "responses": {
                    "202": {
                        "description": "The job is queued.",
                        "headers": {
                            "Location": {
                                "description": "Path of the new job.",
                                "schema": {"type": "string", "format": "uri-reference"},
                            }
                        },
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Fetch"}}
                        },
                    },
                    "400": {"$ref": "#/components/responses/Refused"},
                    "default": {"$ref": "#/components/responses/Refused"},
                },
            },
        },
        "/api/firmware/fetch/{key}": {
            "parameters": [{"$ref": "#/components/parameters/Key"}],
            "get": {
                "tags": ["Downloads"],
                "summary": "Follow a download",
                "parameters": [
                    {
                        "name": "If-None-Match",
                        "in": "header",
                        "deprecated": True,
                        "schema": {"type": ["string", "null"]},
                    }
                ],
                "responses": {
                    "200": {
                        "description": "Its state; as a stream, each change of it.",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Fetch"}},
                            "text/event-stream": {"schema": {"type": "string"}},
                        },
                    }
                },
            },
            "delete": {
                "tags": ["Downloads"],
                "deprecated": True,
                "summary": "Cancel or forget a download",
                "responses": {"200": {"description": "Done."}},
            },
        },
        "/api/upload/firmware": {
            "post": {
                "summary": "Upload an image",
                "requestBody": {
                    "content": {
                        "multipart/form-data": {
                            "schema": {
                                "type": "object",
                                "required": ["file"],
                                "properties": {"file": {"type": "string", "format": "binary"}},
                            }
                        },
                        "application/octet-stream": {},
                    }
                },
                "responses": {"200": {"description": "It is in a slot."}},
            }
        },
    },
    "components": {
        "securitySchemes": {
            "basic": {"type": "http", "scheme": "basic", "description": "Only to log in."},
            "session": {"type": "apiKey", "in": "cookie", "name": "session_id"},
        },
        "parameters": {
            "Key": {
                "name": "key",
                "in": "path",
                "required": True,
                "description": "The download's key.",
                "example": "6d0b4c0e-8f0e-4c4b-9d6a-3a1f0e5b7c21",
                "schema": {"type": "string", "format": "uuid"},
            }
        },
        "responses": {"Refused": _ERROR},
        "schemas": {
            "Submission": {
                "type": "object",
                "description": "What to fetch.",
                "required": ["url", "checksum"],
                "additionalProperties": False,
                "properties": {
                    "url": {
                        "type": "string",
                        "format": "uri",
                        "maxLength": 8192,
                        "description": "`http` or `https`.",
                        "examples": ["https://images.example.org/appliance-2.iso"],
                    },
                    "checksum": {"$ref": "#/components/schemas/Checksum"},
                },
            },
            "Checksum": {
                "type": "object",
                "required": ["sha256"],
                "properties": {"sha256": {"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}},
            },
            "Status": {
                "enum": ["queued", "in-progress", "finished", "failed", "cancelled"],
                "description": "The documented states.",
            },
            "Meta": {
                "type": "object",
                "required": ["href"],
                "properties": {
                    "href": {"type": "string"},
                    "parent": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
            },
            "Fetch": {
                "type": "object",
                "required": ["body", "key", "meta"],
                "properties": {
                    "body": {
                        "type": "object",
                        "required": ["bytes_downloaded", "status"],
                        "properties": {
                            "bytes_downloaded": {"type": "integer", "minimum": 0},
                            "slot_id": {
                                "anyOf": [
                                    {"type": "integer", "minimum": 1, "maximum": 99},
                                    {"type": "null"},
                                ],
                                "description": "Where it was installed; null before.",
                            },
                            "status": {"$ref": "#/components/schemas/Status"},
                        },
                    },
                    "key": {"type": "string", "format": "uuid"},
                    "meta": {"$ref": "#/components/schemas/Meta"},
                },
            },
            "Fetches": {
                "type": "object",
                "required": ["items", "meta"],
                "properties": {
                    "items": {"type": "array", "items": {"$ref": "#/components/schemas/Fetch"}},
                    "meta": {"$ref": "#/components/schemas/Meta"},
                },
            },
            "Problem": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "properties": {
                            "type": {"type": "string"},
                            "message": {"type": "string"},
                            "details": {
                                "type": "object",
                                "additionalProperties": {"type": ["string", "integer"]},
                            },
                        },
                    }
                },
            },
        },
    },
}
