"""The client of the tests of both APIs."""

import cxone_api


class ImpatientClient:
    """A client without retries, so that faults are visible. Its server ends with the test."""

    def __init__(self, test, arguments, *kinds):
        self.tenant, self.servers = cxone_api.start(cxone_api.parse_options(arguments), *kinds)
        test.addCleanup(self.close)
        self.base = f"http://127.0.0.1:{self.servers[0].server_address[1]}"
        self.token = None

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
