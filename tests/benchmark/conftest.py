"""What has to be there before Ray is imported, by whichever test comes first."""

import os
import secrets

# Ray lets in who has its cluster's token, and reads these when it is imported
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
