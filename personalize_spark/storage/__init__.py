"""Where bytes lie: stores (files, S3), and what this project keeps in them."""
