// The story of a batch inference job by the SDK for JavaScript: node story.cjs CLIENTS ENDPOINT PARAMETERS
// Prints what was seen: the states, the names of pages, the errors' names, and the answers.
const [, , clients, endpoint, parameters] = process.argv;
const sdk = require("module").createRequire(`${clients}/`)("@aws-sdk/client-personalize");
const { schema, bucket, output, roleArn, job } = JSON.parse(parameters);

const personalize = new sdk.PersonalizeClient({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "AKIAEXAMPLE", secretAccessKey: "very secret" },
});
const call = (operation, params) => personalize.send(new sdk[`${operation}Command`](params));

async function refused(operation, params) {
  try {
    await call(operation, params);
    return "nothing";
  } catch (error) {
    return `${error.name} ${error instanceof sdk.PersonalizeServiceException} ${error.$metadata.httpStatusCode}`;
  }
}

async function ended(operation, params, member) {
  for (;;) {
    const described = (await call(operation, params))[member];
    if (!["CREATE PENDING", "CREATE IN_PROGRESS"].includes(described.status)) {
      return described;
    }
    await new Promise((resume) => setTimeout(resume, 200));
  }
}

async function imported(datasetGroupArn) {
  const { schemaArn } = await call("CreateSchema", { name: "js-clicks", schema });
  const datasetType = "Interactions";
  const { datasetArn } = await call("CreateDataset", { name: "js", schemaArn, datasetGroupArn, datasetType });
  const dataSource = { dataLocation: `${bucket}/interactions.csv` };
  const { datasetImportJobArn } = await call("CreateDatasetImportJob", { jobName: "js", datasetArn, dataSource, roleArn });
  const { status } = await ended("DescribeDatasetImportJob", { datasetImportJobArn }, "datasetImportJob");
  const { dataset } = await call("DescribeDataset", { datasetArn });
  return { schemaArn, status, dataset: dataset.schemaArn === schemaArn && dataset.creationDateTime instanceof Date };
}

async function trained(datasetGroupArn, recipeArn) {
  const { solutionArn } = await call("CreateSolution", { name: "js-home", datasetGroupArn, recipeArn });
  const { solution } = await call("DescribeSolution", { solutionArn });
  const { solutionVersionArn } = await call("CreateSolutionVersion", { solutionArn });
  const { status } = await ended("DescribeSolutionVersion", { solutionVersionArn }, "solutionVersion");
  return { solutionVersionArn, status, solution: solution.recipeArn === recipeArn };
}

async function main() {
  const { datasetGroupArn } = await call("CreateDatasetGroup", { name: "js-shop", tags: [{ tagKey: "a", tagValue: "ü" }] });
  const { schemaArn, ...data } = await imported(datasetGroupArn);
  const recipes = [];
  for await (const page of sdk.paginateListRecipes({ client: personalize, pageSize: 5 }, {})) {
    recipes.push(...page.recipes);
  }
  const { recipeArn } = recipes.find((each) => each.name === "aws-popularity-count");
  const { solutionVersionArn, ...model } = await trained(datasetGroupArn, recipeArn);
  const filterExpression = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")';
  const { filterArn } = await call("CreateFilter", { name: "js-seen", datasetGroupArn, filterExpression });
  const asked = { ...job, solutionVersionArn, filterArn, roleArn };
  const { batchInferenceJobArn } = await call("CreateBatchInferenceJob", asked);
  const { status } = await ended("DescribeBatchInferenceJob", { batchInferenceJobArn }, "batchInferenceJob");
  const answers = await (await fetch(output)).text();
  console.log(
    JSON.stringify({
      data,
      recipes: recipes.map((each) => each.name),
      model,
      status,
      taken: await refused("CreateBatchInferenceJob", asked),
      missing: await refused("DescribeSchema", { schemaArn: `${schemaArn}x` }),
      campaign: await refused("CreateCampaign", { name: "x", solutionVersionArn }),
      asked,
      answers,
    }),
  );
}

main();
