# The image of conf/kubernetes.yaml, behind `make dist`:
#   docker build -f conf/kubernetes.Dockerfile -t registry.example.com/personalize-spark:0.1.0 .
FROM spark:4.1.1-scala2.13-java17-ubuntu
USER root
# This image is Ubuntu 22.04, whose own Python is 3.10. The environment is made of /usr/bin/python3.11.
RUN apt-get update && apt-get install -y --no-install-recommends software-properties-common \
    && add-apt-repository -y ppa:deadsnakes/ppa && apt-get install -y --no-install-recommends python3.11 \
    && rm -rf /var/lib/apt/lists/*
# The package and all its libraries, with pandas, without which Spark runs no Python on Arrow. ADD unpacks it.
ADD dist/personalize_spark-0.1.0-environment-x86_64.tar.gz /opt/environment/
COPY jobs/ /opt/jobs/
ENV PYSPARK_PYTHON=/opt/environment/bin/python PYSPARK_DRIVER_PYTHON=/opt/environment/bin/python
USER spark
